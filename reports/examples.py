"""The examples behind a score: stored similarities and correctness, read for the tests of `dalr.statistics`."""

from dalr.errors import InputError
from dalr.reports.load.discover import Problem
from dalr.reports.load.frame import Loaded, Source
from dalr.reports.tables.grid import Row
from dalr.reports.tables.scores import AVERAGE, Aggregation
from dalr.results import GROUPS, TaskDetails, read_details
from dalr.statistics.examples import permuted_task
from dalr.statistics.permutation import Permuted, mean_over_tasks
from dalr.statistics.significance import seed_pairs


class Examples:
    """Tests rows against each other over stored examples; each file is read once, when it is needed. Of
    tasks with subsets it tests the score that `aggregation` makes.

    Files that cannot be read, or that were scored on other data, test nothing and are in `problems`.
    """

    def __init__(self, loaded: Loaded, aggregation: Aggregation = "all") -> None:
        self.problems: list[Problem] = []
        self._aggregation = aggregation
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
        return permuted_task(
            task,
            [ours for ours, _ in pairs],
            [theirs for _, theirs in pairs],
            by_subset=self._aggregation != "all",
            weighted=self._aggregation == "wmean",
        )

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
