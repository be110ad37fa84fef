"""Rows and cells into `dalr.statistics`, and the marks of a table out of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from dalr.reports.tables.grid import Cell, Row
from dalr.reports.tables.scores import AVERAGE
from dalr.statistics.comparison import Comparison, corrected
from dalr.statistics.correction import holm
from dalr.statistics.significance import LEVEL, over_seeds

OVER_SEEDS, OVER_EXAMPLES = "†", "‡"

ExampleTest = Callable[[Row, Row, str], float | None]
"""The p-value of two rows' difference in a column over its examples; None where they were not stored."""


class RowTests:
    """Tests the rows of one table against each other. A pair of rows has one answer in a column, that of the
    family in which it was asked for first, so that no two places of a report contradict each other."""

    def __init__(self, examples: ExampleTest) -> None:
        self._examples = examples
        self._answers: dict[tuple[str, str, str], Comparison] = {}

    def compare(self, rows: Sequence[Row], against: Row, columns: Sequence[str]) -> list[Comparison]:
        """Every row of `rows` against one, in every column that both have. Two families: the average,
        and the tasks."""
        # Column by column, so that the tests of one task follow each other and share their draws.
        pairs = [(row, column) for column in columns for row in rows]
        comparisons = corrected(filter(None, (self._compare(row, against, column) for row, column in pairs)))
        identities = {row.label: row.identity for row in rows}
        return [self._settled(identities[each.ours], against.identity, each) for each in comparisons]

    def settle(self, pairs: Sequence[tuple[Row, Row, float | None]], column: str) -> None:
        """Gives pairs of rows, each with its p-value over seeds as a family of planned contrasts has corrected it,
        their answer in a column; over examples they are a family of their own. A pair keeps an earlier answer."""
        compared = [(self._compare(row, against, column), p_value) for row, against, p_value in pairs]
        known = [(each, p_value) for each, p_value in compared if each]
        over_examples = holm({place: p for place, (each, _) in enumerate(known) if (p := each.example_p) is not None})
        identities = {row.label: row.identity for ours, theirs, _ in pairs for row in (ours, theirs)}
        for place, (each, p_value) in enumerate(known):
            answer = replace(each, seed_holm=p_value, example_holm=over_examples.get(place))
            self._settled(identities[each.ours], identities[each.theirs], answer)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The labels of every two rows whose averages were compared."""
        return [(each.ours, each.theirs) for each in self._answers.values() if each.score == AVERAGE]

    def _compare(self, row: Row, against: Row, column: str) -> Comparison | None:
        ours, theirs = row.cells.get(column, Cell()), against.cells.get(column, Cell())
        if not ours.by_seed or not theirs.by_seed:
            return None
        return Comparison(
            ours=row.label,
            theirs=against.label,
            score=column,
            family="average" if column == AVERAGE else "tasks",
            over_seeds=over_seeds(ours.by_seed, theirs.by_seed),
            example_p=self._examples(row, against, column),
        )

    def _settled(self, row: str, against: str, comparison: Comparison) -> Comparison:
        """The pair's answer that was given before, else this one; rows by identity."""
        turned = self._answers.get((against, row, comparison.score))
        return turned.reversed if turned else self._answers.setdefault((row, against, comparison.score), comparison)


def marks(comparison: Comparison) -> str:
    """† and ‡ as they apply."""
    return OVER_SEEDS * comparison.holds_over_seeds + OVER_EXAMPLES * comparison.holds_over_examples


def marked(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> tuple[Row, ...]:
    """The rows with the marks of the comparisons, and no others."""
    marks_of = {(each.ours, each.score): marks(each) for each in comparisons}
    return tuple(
        replace(
            row,
            cells={
                column: replace(cell, marks=marks_of.get((row.label, column), "")) for column, cell in row.cells.items()
            },
        )
        for row in rows
    )


def note(reference: str, comparisons: Sequence[Comparison]) -> str:
    """What the marks of a table mean, and how many comparisons could be tested."""
    total = len(comparisons)
    seeds_tested = sum(each.seed_p is not None for each in comparisons)
    examples_tested = sum(each.example_p is not None for each in comparisons)
    unpaired = any(not each.over_seeds.paired and each.seed_p is not None for each in comparisons)
    welch = ", Welch's where none is shared" if unpaired else ""
    over_examples = f", {OVER_EXAMPLES} over examples (paired permutation; {examples_tested} of {total})"
    return (
        f"Differs from {reference} at {100 * LEVEL:.0f} % after Holm's correction: {OVER_SEEDS} over seeds (t-test of "
        f"paired seeds{welch}; {seeds_tested} of {total} comparisons could be tested)"
        f"{over_examples if examples_tested else ''}. The average is corrected over the rows, the other columns over "
        "rows and columns. No mark: not shown to differ, or not tested."
    )
