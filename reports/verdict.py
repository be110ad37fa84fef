"""The answer at the top: which model is best, by how much, and whether that is certain."""

from dataclasses import dataclass
from typing import Literal

from reports.significance import LEVEL, Comparison, ExampleTest, compare
from reports.sweeps import Sweep
from reports.tables import AVERAGE, Block, Row, Table

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


def verdicts(table: Table, examples: ExampleTest) -> list[Verdict]:
    """A verdict for each measured block that has an average; blocks do not compare with each other."""
    found = []
    for block in table.blocks:
        ranked = [row for row in block.rows if row.cells.get(AVERAGE) and row.cells[AVERAGE].value is not None]
        ranked.sort(key=lambda row: row.cells[AVERAGE].value or 0.0, reverse=True)
        if block.kind == "measured" and ranked:
            found.append(_verdict(table, block, ranked, examples))
    return found


def sweep_verdict(sweep: Sweep, board: Table) -> Verdict | None:
    """What a sweep's leaderboard says; None where no trial is complete."""
    if not board.measured:
        return None
    best, *others = board.measured
    cell = best.cells["value"]
    spread = f" ± {cell.deviation_text} over {cell.count} seeds" if cell.deviation is not None else ""
    point = ", ".join(f"{board.columns[path]} {best.cells[path].text}" for path in sweep.searched)
    lead = ""
    if others and others[0].cells["value"].value is not None and cell.value is not None:
        lead = f", {abs(cell.value - (others[0].cells['value'].value or 0.0)):.2f} from {others[0].label}"
    return Verdict(
        certainty="search",
        where=f"Sweep {sweep.name}, {sweep.metrics[0]}",
        headline=f"{best.label} is best: {cell.text}{spread}{lead}" + (f" ({point})." if point else "."),
        reason="It was chosen for this value, which therefore flatters it: only fresh seeds and test data decide.",
    )


def _verdict(table: Table, block: Block, ranked: list[Row], examples: ExampleTest) -> Verdict:
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
    return Verdict(certainty="yes" if certain else "no", where=where, headline=headline, reason=reason)


def _reason(one: Comparison) -> tuple[bool, str]:
    """Certain is what holds over seeds and, where examples were stored, over examples too."""
    if one.seed_holm is None:
        why = f"{one.seeds} paired seed" if one.seeds == 1 else f"{one.seeds} paired seeds"
        if one.seeds >= 2:
            why += " with equal differences, which say nothing of their spread"
        over_seeds = f"Over seeds nothing can be said ({why}; two or more differing ones are needed)"
    elif one.over_seeds:
        over_seeds = f"The lead holds over {one.seeds} seeds ({_p(one.seed_holm)}, t-test)"
    else:
        over_seeds = f"Over {one.seeds} seeds the lead is within chance ({_p(one.seed_holm)}, t-test)"
    if one.example_holm is None:
        over_examples = "over test examples it was not tested (none stored)"
    elif one.over_examples:
        over_examples = f"over test examples it holds ({_p(one.example_holm)})"
    else:
        over_examples = f"over test examples it is within chance ({_p(one.example_holm)})"
    certain = one.over_seeds and (one.over_examples or one.example_holm is None)
    return certain, f"{over_seeds}; {over_examples}. Level {LEVEL:.0%}, Holm-corrected over the closest rivals."


def _p(value: float) -> str:
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
