"""Which run a result belongs to."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dalr.errors import InputError
from dalr.results import Result
from reports.discover import Problem
from reports.names import Names
from reports.runs import Run, is_run, read_json, read_run


class RunFinder:
    """Finds the run of a result; each run's files are read once, and only when a result asks.

    In this order: the run's folder that the result lies in, the one that its model was loaded from,
    and among `runs` the one whose config has the result's fingerprint. Runs that cannot be read are
    in `problems`.
    """

    def __init__(self, runs: Sequence[Path], names: Names) -> None:
        self.problems: list[Problem] = []
        self._runs = runs
        self._names = names
        self._read: dict[Path, Run | None] = {}
        self._by_fingerprint: dict[str, Path] | None = None

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
        if model.is_absolute() or model.exists():
            yield from (model, model.parent)
        fingerprint = result.provenance.config_fingerprint
        if fingerprint is not None:
            folder = self._fingerprints().get(fingerprint)
            if folder is not None:
                yield folder

    def _run(self, folder: Path) -> Run | None:
        if folder not in self._read:
            self._read[folder] = None
            if is_run(folder):
                try:
                    self._read[folder] = read_run(folder)
                except InputError as error:
                    self.problems.append(Problem(path=self._names.of(folder), message=str(error)))
        return self._read[folder]

    def _fingerprints(self) -> dict[str, Path]:
        """Config fingerprint → run; one that several runs share (copies of one run) names none."""
        if self._by_fingerprint is None:
            found: dict[str, list[Path]] = {}
            for folder in self._runs:
                try:
                    fingerprint = read_json(folder / "provenance.json").get("config_fingerprint")
                except InputError:
                    continue  # named when its own results are read
                if fingerprint is not None:
                    found.setdefault(str(fingerprint), []).append(folder)
            self._by_fingerprint = {key: folders[0] for key, folders in found.items() if len(folders) == 1}
        return self._by_fingerprint
