"""Which run a result belongs to."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from dalr.errors import InputError
from dalr.reports.load.discover import Problem
from dalr.reports.load.names import Names
from dalr.reports.load.runs import Run, fingerprints_of, read_json, read_run
from dalr.results import Result


class RunFinder:
    """Finds a result's run among `runs`, the runs of the folders that a report is made of: the run whose
    folder the result lies in, else the one with the result's config fingerprint; of several copies of a
    run, the one whose path ends most like the model's.

    No run is looked for elsewhere, least of all where the result says that its model lay: seen from
    another working directory or on another machine, another run may lie there. A run with another
    fingerprint than the result's is never its run. `problems` names such results, and the runs that
    cannot be read.
    """

    def __init__(self, runs: Sequence[Path], names: Names) -> None:
        self.problems: list[Problem] = []
        self._runs = frozenset(runs)
        self._names = names
        self._read: dict[Path, Run | None] = {}

    def run_of(self, path: Path, result: Result) -> Run | None:
        """The run that the result in file `path` scores, or None where no run is known."""
        fingerprint = result.provenance.config_fingerprint
        around = self._run(path.parent) or self._run(path.parent.parent)
        if around is not None:
            if fingerprint is None or not around.fingerprints or fingerprint in around.fingerprints:
                return around
            message = (
                f"scores the config {fingerprint}, but the run that it lies in has {around.config_fingerprint}; "
                "it is shown without that run's settings"
            )
            self.problems.append(Problem(path=self._names.of(path), message=message))
        copies = self._by_fingerprint.get(fingerprint, []) if fingerprint else []
        return self._run(_most_alike(copies, Path(result.model))) if copies else None

    def _run(self, folder: Path) -> Run | None:
        """The run in `folder`, read when it is first asked for; None where the report is not made of it."""
        if folder not in self._read:
            self._read[folder] = None
            if folder in self._runs:
                try:
                    self._read[folder] = read_run(folder)
                except InputError as error:
                    self.problems.append(Problem(path=self._names.of(folder), message=str(error)))
        return self._read[folder]

    @cached_property
    def _by_fingerprint(self) -> dict[str, list[Path]]:
        """Config fingerprint → the runs that have it: copies of one run share it."""
        runs = defaultdict(list)
        for folder in sorted(self._runs):
            try:
                notes = read_json(folder / "provenance.json")
            except InputError:
                continue  # named when its own results are read
            for fingerprint in fingerprints_of(notes):
                runs[fingerprint].append(folder)
        return runs


def _most_alike(folders: Sequence[Path], model: Path) -> Path:
    """The folder whose last parts agree longest with those of the model's run, the first where several do."""
    wanted = (model.parent if model.name == "model" else model).parts[::-1]

    def shared(folder: Path) -> int:
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(folder.parts[::-1], wanted, strict=False)))

    return max(folders, key=shared)
