"""Where the two ways to score a task with subsets order two compared rows differently."""

from collections.abc import Iterable, Mapping, Sequence

from dalr.reports.tables.grid import Table
from dalr.reports.tables.scores import AGGREGATIONS, AVERAGE, Aggregation

MOST_PAIRS = 6

Pair = tuple[str, str]
"""Two rows that a report compares, by label."""


def order_notes(by_aggregation: Mapping[Aggregation, Table], shown: Aggregation, pairs: Iterable[Pair]) -> list[str]:
    """A note for each other aggregation than the one shown, with the pairs whose averages it orders the other
    way round. `by_aggregation` holds the same table under each."""
    compared = list(dict.fromkeys(pairs))
    notes = []
    for aggregation, table in by_aggregation.items():
        if aggregation != shown:
            before, after = _averages(by_aggregation[shown]), _averages(table)
            turned = [pair for pair in compared if _turned(pair, before, after)]
            notes += [_note(turned, shown, aggregation, before, after)] if turned else []
    return notes


def _averages(table: Table) -> dict[str, float]:
    cells = {row.label: row.cells[AVERAGE].value for row in table.measured}
    return {label: value for label, value in cells.items() if value is not None}


def _turned(pair: Pair, before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    one, other = pair
    if not {one, other} <= set(before) & set(after):
        return False
    return (before[one] - before[other]) * (after[one] - after[other]) < 0


def _note(
    turned: Sequence[Pair],
    shown: Aggregation,
    aggregation: Aggregation,
    before: Mapping[str, float],
    after: Mapping[str, float],
) -> str:
    named = [
        f"{one} and {other} average {after[one]:.2f} and {after[other]:.2f} instead of {before[one]:.2f} and "
        f"{before[other]:.2f}"
        for one, other in turned[:MOST_PAIRS]
    ]
    more = f"; and {len(turned) - MOST_PAIRS} more pairs" if len(turned) > MOST_PAIRS else ""
    return (
        f"THE ORDER DEPENDS ON HOW STS12 TO STS16 ARE SCORED: {AGGREGATIONS[aggregation]} instead of "
        f"{AGGREGATIONS[shown]}, {'; '.join(named)}{more}."
    )
