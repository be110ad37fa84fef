"""The answer at the top: what is best, by how much, and what the tests say of that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dalr.reports.load.sweeps import Sweep
from dalr.reports.significance import RowTests
from dalr.reports.tables.budgets import Budget, apart, size, words
from dalr.reports.tables.finals import Finals
from dalr.reports.tables.grid import Block, Row, Table
from dalr.reports.tables.scores import AVERAGE, average_of
from dalr.statistics.comparison import Comparison

Outcome = Literal["holds", "not-shown", "untested", "alone", "search", "reproduced", "short", "unknown"]
CLOSEST = 5  # rivals of the best that are tested: those behind them are further away
BADGES: dict[Outcome, str] = {
    "holds": "Holds.",
    "not-shown": "Not shown.",
    "untested": "Not tested.",
    "alone": "Nothing to compare.",
    "search": "Chosen by the search.",
    "reproduced": "Reproduced.",
    "short": "Not reproduced.",
    "unknown": "Cannot tell.",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a reader should take from one block of a table, or from a sweep: `headline` says what was measured,
    `outcome` and `reason` say what the tests found."""

    outcome: Outcome
    where: str
    headline: str
    reason: str

    @property
    def badge(self) -> str:
        """The outcome in words."""
        return BADGES[self.outcome]


def best_of_blocks(table: Table, tests: RowTests, trained: Mapping[str, Budget]) -> list[Answer]:
    """An answer for each measured block that has an average; blocks do not compare with each other.
    `trained` says how long each row (by identity) was."""
    answers = []
    for block in table.blocks:
        ranked = _ranked(block)
        if ranked:
            answers.append(_best(table, block, ranked, tests, trained))
    return answers


def against_baseline(table: Table, baseline: str, tests: RowTests) -> list[Answer]:
    """For each block with the row `baseline`, whether the best of the other rows is above it. Where the
    baseline is the best row or the second, `best_of_blocks` says so already, and there is no further answer."""
    answers = []
    for block in table.blocks:
        ranked = _ranked(block)
        base = next((row for row in ranked[2:] if row.label == baseline), None)
        for comparison in tests.compare(ranked[:1], base, [AVERAGE]) if base else ():
            outcome, claim = _claim(comparison)
            where = f"{table.title}, {block.title.removeprefix('Measured, ')}, against the baseline"
            headline = f"{comparison.ours} {claim} {baseline}: {comparison.amount}."
            answers.append(Answer(outcome=outcome, where=where, headline=headline, reason=_tests(comparison)))
    return answers


def _ranked(block: Block) -> list[Row]:
    """The measured rows that have an average, best first."""
    rows = [row for row in block.rows if block.kind == "measured" and average_of(row) is not None]
    return sorted(rows, key=lambda row: average_of(row) or 0.0, reverse=True)


def _claim(comparison: Comparison) -> tuple[Outcome, str]:
    """What the tests say of a lead, as an outcome and as the verb of a headline."""
    if comparison.seed_holm is None:
        return "untested", "was not tested against"
    return ("holds", "beats") if _holds(comparison) else ("not-shown", "is not shown to beat")


def of_sweep(sweep: Sweep, board: Table, final: Finals | None) -> list[Answer]:
    """Which trial was best in the search, and, where there are final runs, whether it beats its base recipe on
    fresh seeds. Empty where no trial is complete."""
    if not board.measured:
        return []
    best, *others = board.measured
    cell = best.cells["value"]
    spread = f" ± {cell.deviation_text} over {cell.count} seeds" if cell.deviation is not None else ""
    point = ", ".join(f"{board.columns[path]} {best.cells[path].text}" for path in sweep.searched)
    lead = ""
    if others and others[0].cells["value"].value is not None and cell.value is not None:
        lead = f", {abs(cell.value - (others[0].cells['value'].value or 0.0)):.2f} from {others[0].label}"
    fresh = _on_fresh_seeds(sweep, final)
    decides = "the final runs tell what it is worth" if fresh else "only fresh seeds and test data decide"
    search = Answer(
        outcome="search",
        where=f"Sweep {sweep.name}, the search on {sweep.metrics[0]}",
        headline=f"{best.label} is best in the search: {cell.text}{spread}{lead}" + (f" ({point})." if point else "."),
        reason=f"It was chosen for this value, which therefore flatters it: {decides}.",
    )
    return [search, *fresh]


def _on_fresh_seeds(sweep: Sweep, final: Finals | None) -> list[Answer]:
    """An answer for each recipe's winner."""
    answers = []
    for comparison in final.winners.values() if final else ():
        score = final.heading(comparison) if final else comparison.score
        outcome, claim = _claim(comparison)
        answers.append(
            Answer(
                outcome=outcome,
                where=f"Sweep {sweep.name}, final runs on fresh seeds, {score}",
                headline=f"{comparison.ours} {claim} {comparison.theirs}: {comparison.amount}.",
                reason=_tests(comparison),
            )
        )
    return answers


def _best(table: Table, block: Block, ranked: Sequence[Row], tests: RowTests, trained: Mapping[str, Budget]) -> Answer:
    best = ranked[0]
    cell = best.cells[AVERAGE]
    spread = f" ± {cell.deviation_text} over {cell.count} seeds" if cell.deviation is not None else ", one run"
    where = f"{table.title}, {block.title.removeprefix('Measured, ')}"
    score = f"{cell.text}{spread}"
    if len(ranked) == 1:
        headline = f"{best.label} averages {score}."
        reason = "No second model was scored on all tasks."
        return Answer(outcome="alone", where=where, headline=headline, reason=reason)
    second = ranked[1]
    rivals = [each.reversed for each in tests.compare(ranked[1 : CLOSEST + 1], best, [AVERAGE])]
    closest = next(each for each in rivals if each.theirs == second.label)
    lead = (cell.value or 0.0) - (second.cells[AVERAGE].value or 0.0)
    span = closest.over_seeds.interval
    within = f" (95 % interval {span.low:+.2f} to {span.high:+.2f})" if span else ""
    ahead = "level with" if f"{lead:.2f}" == "0.00" else f"{lead:.2f} points above"
    headline = f"{best.label} has the highest average: {score}, {ahead} {second.label}{within}."
    outcome: Outcome = "holds" if _holds(closest) else "not-shown"
    if closest.seed_holm is None:
        outcome = "untested" if closest.example_holm is None or closest.holds_over_examples else "not-shown"
    reason = _tests(closest)
    if abs(lead - closest.difference) >= 0.005:
        reason = f"Over the seeds that both have it leads by {closest.amount}. {reason}"
    reason += _beaten([each for each in rivals if each is not closest]) if outcome != "holds" else ""
    reason += f" {_unequal(best, second, trained)}" if _unequal(best, second, trained) else ""
    return Answer(outcome=outcome, where=where, headline=headline, reason=reason)


def _beaten(others: Sequence[Comparison]) -> str:
    """The closest rivals that the best is shown to be above, where it is not shown to be above the second."""
    beaten = [f"{each.theirs} ({each.amount})" for each in others if _holds(each)]
    return f" What holds is the lead over {'; '.join(beaten[:2])}." if beaten else ""


def _unequal(best: Row, second: Row, trained: Mapping[str, Budget]) -> str:
    """A warning where the two were not trained alike."""
    one, other = trained.get(best.identity), trained.get(second.identity)
    if one is None or other is None or not apart((size(one), size(other))):
        return ""
    return f"Budgets are UNEQUAL: {best.label} was trained for {words(one)}, {second.label} for {words(other)}."


def _tests(comparison: Comparison) -> str:
    """Both tests in one sentence."""
    return f"The difference {comparison.finding}; {comparison.example_finding}."


def _holds(comparison: Comparison) -> bool:
    """A lead that holds over seeds and, where examples were stored, over examples too."""
    over_examples = comparison.holds_over_examples or comparison.example_holm is None
    return comparison.leads and comparison.holds_over_seeds and over_examples
