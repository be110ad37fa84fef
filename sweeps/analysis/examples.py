"""Whether the test pairs themselves tell two models apart: permutation tests on stored similarities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from dalr.results import GROUPS, read_details
from dalr.sweeps.search.finals import FinalRecord
from dalr.sweeps.search.records import run_name


def final_folder(out: Path, record: FinalRecord) -> Path:
    """Where a final run lies."""
    return out / "runs" / run_name(record.name, record.run.seed)


def tasks_of(column: str) -> tuple[str, ...]:
    """The STS tasks whose test pairs make up a score; none for other columns."""
    if column == "sts_avg":
        return GROUPS["sts"]
    task, _, split = column.rpartition(".")
    return (task,) if split == "test" and task in GROUPS["sts"] else ()


def examples_p(out: Path, tasks: Sequence[str], pairs: Sequence[tuple[FinalRecord, FinalRecord]]) -> float | None:
    """Whether other test pairs could turn the difference around: each pair's share of its task's rank
    correlation, meaned over seeds, may be swapped between the two. None where similarities were not stored."""
    parts: list[np.ndarray] = []
    for task in tasks:
        by_seed = [_contributions(out, task, records) for records in pairs]
        if any(found is None for found in by_seed):
            return None
        ours, theirs = np.mean(by_seed, axis=0)  # type: ignore[arg-type]
        parts.append((ours - theirs) / len(ours))  # a task counts as one, whatever its size
    return flipped_signs(np.concatenate(parts)) if parts else None


def flipped_signs(differences: np.ndarray, *, flips: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value that the sum of these paired differences [n] is 0: how often random signs make it
    as large. A few thousand numbers at a time, since n may be all test pairs of seven tasks."""
    rng = np.random.default_rng(seed)
    chunk = max(1, 2**22 // len(differences))
    sums = [
        (rng.integers(0, 2, (min(chunk, flips - begin), len(differences)), dtype=np.int8) * 2 - 1) @ differences
        for begin in range(0, flips, chunk)
    ]
    # Equal but for rounding counts as as large.
    extreme = np.abs(np.concatenate(sums)) >= abs(differences.sum()) * (1 - 1e-12)
    return float((1 + extreme.sum()) / (1 + flips))


def _contributions(out: Path, task: str, records: tuple[FinalRecord, FinalRecord]) -> list[np.ndarray] | None:
    details = [read_details(final_folder(out, record) / "results" / "test.json", task) for record in records]
    if any(found is None or found.similarities is None or found.gold is None for found in details):
        return None
    gold = _standard_ranks(details[0].gold)  # type: ignore[union-attr]
    return [gold * _standard_ranks(found.similarities) for found in details]  # type: ignore[union-attr]


def _standard_ranks(values: Any) -> np.ndarray:
    ranks = stats.rankdata(values)
    return (ranks - ranks.mean()) / ranks.std()
