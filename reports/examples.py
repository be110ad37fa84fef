"""The examples behind a score: stored similarities and correctness, and the tests that they allow."""

import zlib
from collections.abc import Sequence

import numpy as np

from dalr.errors import InputError
from dalr.reports.load.discover import Problem
from dalr.reports.load.frame import Loaded, Source
from dalr.reports.paired import Permuted, mean_over_tasks, permuted_accuracy, permuted_spearman, seed_pairs
from dalr.reports.tables.scores import AVERAGE, Row
from dalr.results import GROUPS, TRANSFER, TaskDetails, read_details


class Examples:
    """Tests rows against each other over stored examples; each file is read once, when it is needed.

    Files that cannot be read, or that were scored on other data, test nothing and are in `problems`.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.problems: list[Problem] = []
        self._loaded = loaded
        self._sources = {
            (source.row, source.seed, task): source
            for source in loaded.sources.values()
            for task in source.result.tasks
        }
        self._read: dict[tuple[str, str], TaskDetails | None] = {}
        self._permuted: dict[tuple[str, str, str], Permuted | None] = {}

    def p_value(self, row: Row, against: Row, column: str) -> float | None:
        """Two-sided, of the difference in a task or in the average; None where examples are missing."""
        if column != AVERAGE:
            permuted = self._task(row, against, column)
            return None if permuted is None else permuted.p_value
        group = next((tasks for tasks in (GROUPS["sts"], GROUPS["transfer"]) if tasks[0] in row.cells), ())
        tasks = [self._task(row, against, task) for task in group]
        whole = [task for task in tasks if task is not None]
        return mean_over_tasks(whole).p_value if whole and len(whole) == len(tasks) else None

    def details(self, source: Source, task: str) -> TaskDetails | None:
        """What a score is made of, None where it was not stored."""
        key = (source.name, task)
        if key not in self._read:
            try:
                self._read[key] = read_details(source.path, task)
            except InputError as error:
                self._read[key] = None
                self.problems.append(Problem(path=source.name, message=str(error)))
        return self._read[key]

    def _task(self, row: Row, against: Row, task: str) -> Permuted | None:
        key = (row.identity, against.identity, task)
        if key not in self._permuted:
            self._permuted[key] = self._permute(row, against, task)
        return self._permuted[key]

    def _permute(self, row: Row, against: Row, task: str) -> Permuted | None:
        pairs = self._paired(row, against, task)
        if not pairs:
            return None
        seed = zlib.crc32(task.encode())
        ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
        if task in TRANSFER:
            first, second = _arrays(ours, "correct"), _arrays(theirs, "correct")
            return permuted_accuracy(first, second, seed=seed) if _alike([*first, *second]) else None
        first, second = _arrays(ours, "similarities"), _arrays(theirs, "similarities")
        golds = _arrays([*ours, *theirs], "gold")
        if not _alike([*first, *second, *golds]) or any(not np.array_equal(golds[0], gold) for gold in golds):
            return None
        return permuted_spearman(first, second, golds[0], seed=seed)

    def _paired(self, row: Row, against: Row, task: str) -> list[tuple[TaskDetails, TaskDetails]]:
        """Details of both rows at their paired seeds; where they share none, at their seeds in order."""
        ours, theirs = (sorted(each.cells[task].by_seed, key=str) for each in (row, against))
        seeds = seed_pairs(ours, theirs) or list(zip(ours, theirs, strict=False))
        pairs = []
        for mine, other in seeds:
            both = (self._of(row, mine, task), self._of(against, other, task))
            if both[0] is None or both[1] is None:
                return []
            pairs.append((both[0], both[1]))
        return pairs

    def _of(self, row: Row, seed: int | None, task: str) -> TaskDetails | None:
        source = self._sources.get((row.identity, seed, task))
        return None if source is None else self.details(source, task)


def _arrays(details: Sequence[TaskDetails], name: str) -> list[np.ndarray]:
    return [array for one in details if (array := getattr(one, name)) is not None]


def _alike(arrays: Sequence[np.ndarray]) -> bool:
    return len(arrays) >= 2 and len({len(array) for array in arrays}) == 1
