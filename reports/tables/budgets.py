"""How long the models of a table were trained, and a word on its face where that differs."""

from collections import Counter
from collections.abc import Iterable, Mapping

from dalr.reports.load.frame import Source

UNEQUAL = 0.05  # budgets further apart than this share are called unequal

Budget = tuple[int, int]
"""Optimizer steps and batch size."""


def budgets(sources: Iterable[Source]) -> dict[str, Budget]:
    """Row identity → its budget, of the rows that a run made. Untrained models have none."""
    by_row: dict[str, Budget] = {}
    for source in sources:
        if source.run and not source.run.untrained and (budget := source.run.trained_on):
            by_row.setdefault(source.row, budget)
    return by_row


def apart(values: Iterable[float | None]) -> bool:
    """Whether the greatest and the least of these lie more than `UNEQUAL` apart; None counts as 0."""
    numbers = [value or 0.0 for value in values]
    return bool(numbers) and max(numbers) > 0 and (max(numbers) - min(numbers)) / max(numbers) > UNEQUAL


def unequal(rows: Mapping[str, Budget]) -> str | None:
    """One sentence on rows (by label) that saw more or fewer examples than most; None where all are alike."""
    if not apart(steps * batch for steps, batch in rows.values()):
        return None
    usual, _ = Counter(rows.values()).most_common(1)[0]
    others = [f"{label}: {words(budget)}" for label, budget in rows.items() if apart((size(budget), size(usual)))]
    return f"UNEQUAL BUDGETS: trained for {words(usual)}, but {'; '.join(others)}. Differences may be due to that."


def size(budget: Budget) -> int:
    """The examples seen."""
    return budget[0] * budget[1]


def words(budget: Budget) -> str:
    """`400 steps of 32`."""
    return f"{budget[0]:,} steps of {budget[1]}"
