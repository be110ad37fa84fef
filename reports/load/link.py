"""Which run a result belongs to."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dalr.errors import InputError
from dalr.reports.load.discover import Problem
from dalr.reports.load.names import Names
from dalr.reports.load.runs import Run, is_run, read_json, read_run
from dalr.results import Result


class RunFinder:
    """Finds the run of a result; each run's files are read once, and only when a result asks.

    In this order: the run's folder that the result lies in; among `runs` the one whose config has the
    result's fingerprint (of several copies, the one whose folder ends most like the model's path);
    the folder that the model was loaded from. The first two hold wherever the files are moved to.
    Runs that cannot be read are in `problems`.
    """

    def __init__(self, runs: Sequence[Path], names: Names) -> None:
        self.problems: list[Problem] = []
        self._runs = runs
        self._names = names
        self._read: dict[Path, Run | None] = {}
        self._by_fingerprint: dict[str, list[Path]] | None = None

    def run_of(self, path: Path, result: Result) -> Run | None:
        """The run that the result in file `path` scores, or None where no run is known."""
        for folder in self._candidates(path, result):
            run = self._run(folder)
            if run is not None:
                return run
        return None

    def _candidates(self, path: Path, result: Result) -> Iterator[Path]:
        model = Path(result.model)
        yield from (path.parent, path.parent.parent)
        fingerprint = result.provenance.config_fingerprint
        if fingerprint is not None:
            yield from _most_alike(self._fingerprints().get(fingerprint, []), model)
        if model.is_absolute() or model.exists():
            yield from (model.absolute(), model.absolute().parent)

    def _run(self, folder: Path) -> Run | None:
        if folder not in self._read:
            self._read[folder] = None
            if is_run(folder):
                try:
                    self._read[folder] = read_run(folder)
                except InputError as error:
                    self.problems.append(Problem(path=self._names.of(folder), message=str(error)))
        return self._read[folder]

    def _fingerprints(self) -> dict[str, list[Path]]:
        """Config fingerprint → the runs that have it: copies of one run share it."""
        if self._by_fingerprint is None:
            self._by_fingerprint = {}
            for folder in self._runs:
                try:
                    fingerprint = read_json(folder / "provenance.json").get("config_fingerprint")
                except InputError:
                    continue  # named when its own results are read
                if fingerprint is not None:
                    self._by_fingerprint.setdefault(str(fingerprint), []).append(folder)
        return self._by_fingerprint


def _most_alike(folders: Sequence[Path], model: Path) -> list[Path]:
    """The one folder whose last parts agree longest with those of the model's run; none where two do."""
    wanted = (model.parent if model.name == "model" else model).parts[::-1]
    shared = {}
    for folder in folders:
        pairs = zip(folder.absolute().parts[::-1], wanted, strict=False)
        shared[folder] = next((count for count, (one, other) in enumerate(pairs) if one != other), len(wanted))
    best = [folder for folder in folders if shared[folder] == max(shared.values())]
    return best if len(best) == 1 else []
