"""The answer at the top: which model is best, by how much, and whether that is certain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dalr.reports.load.sweeps import Sweep
from dalr.reports.significance import LEVEL, Comparison, ExampleTest, compare
from dalr.reports.tables.budgets import Budget, apart, size, words
from dalr.reports.tables.finals import Finals
from dalr.reports.tables.scores import AVERAGE, Block, Row, Table

Certainty = Literal["yes", "no", "alone", "search"]
CLOSEST = 5  # rivals of the best that are tested: those behind them are further away
BADGES: dict[Certainty, str] = {
    "yes": "Certain.",
    "no": "Not certain.",
    "alone": "Nothing to compare.",
    "search": "Found by search.",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a reader should take from one block of a table, in two sentences."""

    certainty: Certainty
    where: str
    headline: str
    reason: str

    @property
    def badge(self) -> str:
        """The certainty in words."""
        return BADGES[self.certainty]


def verdicts(table: Table, examples: ExampleTest, trained: Mapping[str, Budget]) -> list[Verdict]:
    """A verdict for each measured block that has an average; blocks do not compare with each other.
    `trained` says how long each row (by identity) was."""
    found = []
    for block in table.blocks:
        ranked = [row for row in block.rows if row.cells.get(AVERAGE) and row.cells[AVERAGE].value is not None]
        ranked.sort(key=lambda row: row.cells[AVERAGE].value or 0.0, reverse=True)
        if block.kind == "measured" and ranked:
            found.append(_verdict(table, block, ranked, examples, trained))
    return found


def sweep_verdict(sweep: Sweep, board: Table, final: Finals | None) -> Verdict | None:
    """What a sweep's leaderboard and its final runs say; None where no trial is complete."""
    if not board.measured:
        return None
    best, *others = board.measured
    cell = best.cells["value"]
    spread = f" ± {cell.deviation_text} over {cell.count} seeds" if cell.deviation is not None else ""
    point = ", ".join(f"{board.columns[path]} {best.cells[path].text}" for path in sweep.searched)
    lead = ""
    if others and others[0].cells["value"].value is not None and cell.value is not None:
        lead = f", {abs(cell.value - (others[0].cells['value'].value or 0.0)):.2f} from {others[0].label}"
    certainty, reason = _fresh(final)
    return Verdict(
        certainty=certainty,
        where=f"Sweep {sweep.name}, {sweep.metrics[0]}",
        headline=f"{best.label} is best: {cell.text}{spread}{lead}" + (f" ({point})." if point else "."),
        reason=reason,
    )


def _fresh(final: Finals | None) -> tuple[Certainty, str]:
    """What the fresh seeds say of the best final candidate against its recipe."""
    flattered = "It was chosen for this value, which therefore flatters it"
    tested = [one for one in final.comparisons if one.column == final.decisive] if final else []
    if not final or not tested:
        return "search", f"{flattered}: only fresh seeds and test data decide."
    one = max(tested, key=lambda found: found.difference)
    what = f"{one.difference:+.2f} points on {final.table.columns[one.column]} against {one.against}"
    sign = f"{flattered}. On {one.seeds} fresh seed{'s' * (one.seeds != 1)} {one.row} is {what}"
    if one.seed_holm is None:
        return "no", f"{sign}; too few for a test."
    chance = "beyond" if one.over_seeds else "within"
    certainty: Certainty = "yes" if one.over_seeds and one.difference > 0 else "no"
    return certainty, f"{sign}: {chance} chance ({_p(one.seed_holm)}, t-test, Holm-corrected over its columns)."


def _verdict(
    table: Table, block: Block, ranked: list[Row], examples: ExampleTest, trained: Mapping[str, Budget]
) -> Verdict:
    best = ranked[0]
    cell = best.cells[AVERAGE]
    spread = f" ± {cell.deviation_text} over {cell.count} seeds" if cell.deviation is not None else ", one run"
    where = f"{table.title}, {block.title.removeprefix('Measured, ')}"
    score = f"{cell.text}{spread}"
    if len(ranked) == 1:
        headline = f"{best.label} averages {score}."
        return Verdict(
            certainty="alone", where=where, headline=headline, reason="No second model was scored on all tasks."
        )
    second = ranked[1]
    against = compare(ranked[1 : CLOSEST + 1], best, [AVERAGE], examples)
    closest = next(one for one in against if one.row == second.label)
    headline = f"{best.label} is best: {score}, {-closest.difference:.2f} points above {second.label}."
    certain, reason = _reason(closest)
    reason += _beaten(against[1:]) if not certain else ""
    reason += f" {_unequal(best, second, trained)}" if _unequal(best, second, trained) else ""
    return Verdict(certainty="yes" if certain else "no", where=where, headline=headline, reason=reason)


def _beaten(others: list[Comparison]) -> str:
    """The closest rivals that the best is certainly above, where it is not above the second."""
    beaten = [f"{one.row} ({-one.difference:.2f} points)" for one in others if _certain(one)]
    return f" Certain is the lead over {'; '.join(beaten[:2])}." if beaten else ""


def _unequal(best: Row, second: Row, trained: Mapping[str, Budget]) -> str:
    """A warning where the two were not trained alike."""
    one, other = trained.get(best.identity), trained.get(second.identity)
    if one is None or other is None or not apart((size(one), size(other))):
        return ""
    return f"Budgets are UNEQUAL: {best.label} was trained for {words(one)}, {second.label} for {words(other)}."


def _reason(one: Comparison) -> tuple[bool, str]:
    """Certain is what holds over seeds and, where examples were stored, over examples too."""
    if one.seed_holm is None:
        why = f"{one.seeds} {'paired ' * one.paired}seed{'s' * (one.seeds != 1)}"
        if one.seeds >= 2:
            why += " with equal differences, which say nothing of their spread"
        over_seeds = f"Over seeds nothing can be said ({why}; two or more differing ones are needed)"
    elif one.over_seeds:
        over_seeds = f"The lead holds over {one.seeds} seeds ({_p(one.seed_holm)}, {_test(one)})"
    else:
        over_seeds = f"Over {one.seeds} seeds the lead is within chance ({_p(one.seed_holm)}, {_test(one)})"
    if one.example_holm is None:
        over_examples = "over test examples it was not tested (none stored)"
    elif one.over_examples:
        over_examples = f"over test examples it holds ({_p(one.example_holm)})"
    else:
        over_examples = f"over test examples it is within chance ({_p(one.example_holm)})"
    return _certain(one), f"{over_seeds}; {over_examples}. Level {LEVEL:.0%}, Holm-corrected over the closest rivals."


def _certain(one: Comparison) -> bool:
    return one.over_seeds and (one.over_examples or one.example_holm is None)


def _test(one: Comparison) -> str:
    return "t-test" if one.paired else "Welch's t-test, for they share no seed"


def _p(value: float) -> str:
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
