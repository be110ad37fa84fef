"""Tests over test examples: would other test sentences turn the difference of two models around?"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dalr.errors import InputError
from dalr.results import GROUPS, TaskDetails, read_details, read_result
from dalr.statistics.correction import holm
from dalr.statistics.intervals import ConfidenceInterval, accuracy_difference_interval, difference_interval
from dalr.statistics.permutation import Permuted, mean_over_tasks, permuted_accuracy, permuted_spearman


def tasks_of_score(score: str) -> tuple[str, ...]:
    """The tasks whose test examples make up a score of a final run: all of a group for `sts_avg` and
    `transfer_avg`, the one of `TASK.test`; none for other scores, of which no details are kept."""
    averages = {f"{group}_avg": GROUPS[group] for group in ("sts", "transfer")}
    task, _, split = score.rpartition(".")
    return averages.get(score, (task,) if split == "test" and task in GROUPS["all"] else ())


def permuted_task(
    task: str,
    ours: Sequence[TaskDetails],
    theirs: Sequence[TaskDetails],
    *,
    by_subset: bool = False,
    weighted: bool = False,
) -> Permuted | None:
    """One task's difference under permutation of its examples, in points, from the details of each model's
    seeds, paired in the order given. None where they were not kept, or are not of the same examples.
    Every task has its own draws, the same for every pair of models.

    `by_subset`: the difference of the mean over the task's subsets, where it has some, `weighted` by their
    pairs or not, instead of that over all its pairs.
    """
    if not ours or len(ours) != len(theirs):
        return None
    seed = zlib.crc32(task.encode())
    both = [*ours, *theirs]
    correct = [details.correct for details in both if details.correct is not None]
    if len(correct) == len(both) and _of_one_length(correct):
        return permuted_accuracy(correct[: len(ours)], correct[len(ours) :], seed=seed)
    similarities = [details.similarities for details in both if details.similarities is not None]
    golds = [details.gold for details in both if details.gold is not None]
    if len(similarities) < len(both) or len(golds) < len(both) or not _of_one_length([*similarities, *golds]):
        return None
    if not all(np.array_equal(golds[0], gold) for gold in golds):
        return None
    sizes = [subset.n for subset in (ours[0].record.score.subsets or {}).values()]
    if not by_subset or not sizes:
        return permuted_spearman(similarities[: len(ours)], similarities[len(ours) :], golds[0], seed=seed)
    # Details hold the pairs of all subsets, subset after subset.
    ends = np.cumsum(sizes)
    parts = [
        permuted_spearman(
            [array[start:end] for array in similarities[: len(ours)]],
            [array[start:end] for array in similarities[len(ours) :]],
            golds[0][start:end],
            seed=seed + place,
        )
        for place, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
    ]
    return mean_over_tasks(parts, sizes if weighted else None)


def _of_one_length(arrays: Sequence[np.ndarray]) -> bool:
    return len({len(array) for array in arrays}) == 1


@dataclass(frozen=True, kw_only=True)
class TaskDifference:
    """Two results on one task's `n` examples: first minus second (a fraction), its bootstrap interval, and
    the two-sided p-value of "they do not differ", before and after Holm's correction over the tasks."""

    difference: float
    interval: ConfidenceInterval
    p_value: float
    n: int
    test: str
    adjusted: float


def compare_results(first: Path, second: Path) -> dict[str, TaskDifference]:
    """Two results' tasks that both have details of, in column order: a permutation test of ranks for STS,
    McNemar's exact test for transfer, corrected over the tasks.

    Raises:
        InputError: they share no task, or a task was scored on different data.
    """
    compared: dict[str, TaskDifference] = {}
    ours, theirs = read_result(first), read_result(second)
    for task in [name for name in ours.tasks if name in theirs.tasks]:
        a, b = read_details(first, task), read_details(second, task)
        if a is None or b is None:
            continue
        if a.record.data != b.record.data or a.record.score.split != b.record.score.split:
            raise InputError(f"{task}: {first} and {second} were scored on different data; they cannot be compared")
        difference = _task_difference(task, a, b)
        if difference is not None:
            compared[task] = difference
    if not compared:
        raise InputError(f"{first} and {second} share no task whose details were kept; evaluate both with --out")
    adjusted = holm({task: difference.p_value for task, difference in compared.items()})
    return {task: replace(difference, adjusted=adjusted[task]) for task, difference in compared.items()}


def _task_difference(task: str, first: TaskDetails, second: TaskDetails) -> TaskDifference | None:
    permuted = permuted_task(task, [first], [second])
    if permuted is None:
        return None
    if first.correct is not None and second.correct is not None:
        interval, test = accuracy_difference_interval(first.correct, second.correct), "McNemar, exact"
        n = len(first.correct)
    else:
        interval, test = _similarity_interval(first, second), "permutation of ranks"
        n = 0 if first.gold is None else len(first.gold)
    p_value = permuted.p_value
    return TaskDifference(
        difference=permuted.observed / 100, interval=interval, p_value=p_value, n=n, test=test, adjusted=p_value
    )


def _similarity_interval(first: TaskDetails, second: TaskDetails) -> ConfidenceInterval:
    arrays = (first.similarities, second.similarities, first.gold)
    one, other, gold = (np.asarray(array) for array in arrays)
    return difference_interval(one, other, gold)
