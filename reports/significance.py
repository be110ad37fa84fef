"""Is one row better than another? Paired over seeds, paired over examples, corrected for many tests.

Over seeds: the t-test over the differences of the seeds that both rows have, or Welch's where they share none. It
asks whether another seed could turn the difference around (a permutation test could not say so below
six seeds). Over examples: the
permutation test of `dalr.reports.paired` on stored similarities and correctness. It asks whether other
test sentences could. Both are corrected by Holm
over all comparisons of one table (the average being one of them), each kind for itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from dalr.errors import InputError
from dalr.reports.paired import seed_pairs
from dalr.reports.tables.scores import Block, Row, Table
from dalr.statistics import holm

LEVEL = 0.05
OVER_SEEDS, OVER_EXAMPLES = "†", "‡"

ExampleTest = Callable[[Row, Row, str], float | None]
"""The p-value of two rows' difference on a task over its examples; None where they were not stored."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One row against another in one column. `difference` in points; p-values before and after Holm,
    None where there is nothing to test with: fewer than two shared seeds, no stored examples."""

    row: str
    against: str
    column: str
    difference: float
    seeds: int
    paired: bool
    seed_p: float | None
    example_p: float | None
    seed_holm: float | None = None
    example_holm: float | None = None

    @property
    def over_seeds(self) -> bool:
        """Significant over seeds after correction."""
        return self.seed_holm is not None and self.seed_holm < LEVEL

    @property
    def over_examples(self) -> bool:
        """Significant over examples after correction."""
        return self.example_holm is not None and self.example_holm < LEVEL

    @property
    def marks(self) -> str:
        """† and ‡ as they apply."""
        return (OVER_SEEDS if self.over_seeds else "") + (OVER_EXAMPLES if self.over_examples else "")


@dataclass(frozen=True)
class SeedTest:
    """`seeds` of each model (the fewer of both) that took part, whether they were `paired`, and the
    two-sided p-value; None where nothing can be said."""

    seeds: int
    paired: bool
    p_value: float | None


def over_seeds(ours: Mapping[int | None, float], theirs: Mapping[int | None, float]) -> SeedTest:
    """The t-test over the differences at the seeds that both models have; where they share none, Welch's
    t-test of the two means. Without a p-value below two seeds, or where nothing varies, so that
    nothing is known of the spread.

    A model without a seed, such as an untrained one, is the same whatever the seed: it stands against
    every seed of the other.
    """
    pairs = [pair for pair in seed_pairs(ours, theirs) if pair != (None, None)]
    if pairs or None in ours or None in theirs:
        differences = np.array([ours[mine] - theirs[other] for mine, other in pairs])
        if len(differences) < 2 or np.ptp(differences) < 1e-9:
            return SeedTest(len(differences), True, None)
        return SeedTest(len(differences), True, float(stats.ttest_1samp(differences, 0.0).pvalue))
    one, other = np.array(list(ours.values())), np.array(list(theirs.values()))
    fewer = min(len(one), len(other))
    if fewer < 2 or (np.ptp(one) < 1e-9 and np.ptp(other) < 1e-9):
        return SeedTest(fewer, False, None)
    return SeedTest(fewer, False, float(stats.ttest_ind(one, other, equal_var=False).pvalue))


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjustment over those that were tested; None stays None."""
    adjusted = holm({str(index): p for index, p in enumerate(p_values) if p is not None})
    return [adjusted.get(str(index)) for index in range(len(p_values))]


def compare(rows: Sequence[Row], against: Row, columns: Sequence[str], examples: ExampleTest) -> list[Comparison]:
    """Every row of `rows` against one, in every column that both have, corrected as one family."""
    found = []
    for column in columns:  # so that the tests of one task follow each other and share their draws
        for row in rows:
            ours, theirs = row.cells.get(column), against.cells.get(column)
            if ours is None or theirs is None or ours.value is None or theirs.value is None:
                continue
            tested = over_seeds(ours.by_seed, theirs.by_seed)
            found.append(
                Comparison(
                    row=row.label,
                    against=against.label,
                    column=column,
                    difference=ours.value - theirs.value,
                    seeds=tested.seeds,
                    paired=tested.paired,
                    seed_p=tested.p_value,
                    example_p=examples(row, against, column),
                )
            )
    seed_holm, example_holm = _corrected([one.seed_p for one in found]), _corrected([one.example_p for one in found])
    return [
        replace(one, seed_holm=seed, example_holm=example)
        for one, seed, example in zip(found, seed_holm, example_holm, strict=True)
    ]


def with_marks(table: Table, baseline: str, examples: ExampleTest) -> tuple[Table, list[Comparison]]:
    """The table with its baseline's block marked, and the comparisons behind the marks.

    Raises:
        InputError: no measured row is called `baseline`.
    """
    for index, block in enumerate(table.blocks):
        base = next((row for row in block.rows if row.label == baseline), None)
        if base is None or block.kind != "measured":
            continue
        others = [row for row in block.rows if row is not base]
        found = compare(others, base, list(table.columns), examples)
        tested = Block(title=block.title, kind=block.kind, rows=marked(block.rows, found))
        blocks = (*table.blocks[:index], tested, *table.blocks[index + 1 :])
        return replace(table, blocks=blocks, key=(note(baseline, found), *table.key)), found
    known = ", ".join(row.label for row in table.measured)
    raise InputError(f"--baseline {baseline}: no measured row has that name (rows: {known})")


def marked(rows: Sequence[Row], found: Sequence[Comparison]) -> tuple[Row, ...]:
    """The rows with the marks of the comparisons, and no others."""
    marks = {(one.row, one.column): one.marks for one in found}
    return tuple(
        replace(
            row,
            cells={
                column: replace(cell, marks=marks.get((row.label, column), "")) for column, cell in row.cells.items()
            },
        )
        for row in rows
    )


def note(baseline: str, found: Sequence[Comparison]) -> str:
    """What the marks of a table mean, and how many comparisons could be tested."""
    seeds_tested = sum(one.seed_p is not None for one in found)
    examples_tested = sum(one.example_p is not None for one in found)
    unpaired = any(not one.paired and one.seed_p is not None for one in found)
    welch = ", Welch's where none is shared" if unpaired else ""
    return (
        f"Differs from {baseline} at {LEVEL:.0%} after Holm's correction: {OVER_SEEDS} over seeds (t-test of paired "
        f"seeds{welch}; {seeds_tested} of {len(found)} comparisons could be tested), {OVER_EXAMPLES} over examples "
        f"(paired permutation, {examples_tested} of {len(found)}). No mark: not shown to differ, or not tested."
    )
