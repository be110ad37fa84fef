"""Walks folders for what a report is made of: results, runs, sweeps, and folders that cannot be read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dalr.errors import InputError
from dalr.reports.load.names import one_line

# Never looked into: weights, data in SentEval's layout, the image files beside it.
CLOSED = {"model", "checkpoints", "downstream", "images", "features", "tensorboard", "__pycache__"}
OWN_REPORT = {"report.json", "index.html"}
TRACES = ("provenance.json", "metrics.jsonl")  # of a run that has begun
OF_A_RUN = {"provenance.json"}
MANIFEST = "manifest.json"  # of features and of data: known, and no result


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file or folder that a report could not use, or not use as it is, and why, on one line."""

    path: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", one_line(self.message))


@dataclass
class Discovery:
    """What lies under the given folders. Paths are as the user gave them, in sorted order."""

    results: list[Path] = field(default_factory=list)
    runs: list[Path] = field(default_factory=list)
    sweeps: list[Path] = field(default_factory=list)
    closed: list[tuple[Path, str]] = field(default_factory=list)  # could not be looked into, and why

    @property
    def empty(self) -> bool:
        """Whether there is nothing to report on."""
        return not (self.results or self.runs or self.sweeps)


def discover(places: Sequence[Path]) -> Discovery:
    """Every candidate under `places` (folders, or single result files), each once.

    A folder with config.yaml and provenance.json or metrics.jsonl is a run; one with sweep.yaml or
    trials.parquet is a sweep; every other JSON file is a candidate result, and is reported when it
    turns out to be none. Hidden folders, model weights, data and earlier reports are passed over;
    links are followed, each file and folder once. The run that a given result file, or a given folder of
    results, lies in is one of the runs.

    Raises:
        InputError: a place does not exist, or is itself a report.
    """
    discovery = Discovery()
    seen: set[str] = set()
    around = []
    for place in places:
        if place.is_file():
            discovery.results += [place] if _is_new(place, seen) else []
            around += [place.parent, place.parent.parent]
        elif all((place / name).is_file() for name in OWN_REPORT):
            raise InputError(f"report: {place} is itself a report; name the folders that it was made from")
        elif place.is_dir():
            _walk(place, discovery, seen)
            around += [place.parent]
        else:
            raise InputError(f"report: no such file or folder: {place}")
    known = {os.path.realpath(run) for run in discovery.runs}
    discovery.runs += [run for run in around if is_run(run) and _is_new(run, known)]
    return discovery


def is_run(folder: Path) -> bool:
    """Whether `folder` is a run's: a config, and a trace that it ran."""
    return (folder / "config.yaml").is_file() and any((folder / trace).is_file() for trace in TRACES)


def _is_new(path: Path, seen: set[str]) -> bool:
    """Whether what `path` leads to is not in `seen`, to which it is added."""
    real = os.path.realpath(path)
    if real in seen:
        return False
    seen.add(real)
    return True


def _walk(place: Path, discovery: Discovery, seen: set[str]) -> None:
    def closed(error: OSError) -> None:
        discovery.closed.append((Path(error.filename), error.strerror or "cannot be read"))

    for name, folders, files in os.walk(place, onerror=closed, followlinks=True):
        folders[:] = sorted(inner for inner in folders if inner not in CLOSED and not inner.startswith("."))
        folder, names = Path(name), set(files)
        if names >= OWN_REPORT or not _is_new(folder, seen):
            folders.clear()
            continue
        if is_run := "config.yaml" in names and not names.isdisjoint(TRACES):
            discovery.runs.append(folder)
        if names & {"sweep.yaml", "trials.parquet"}:
            discovery.sweeps.append(folder)
        known = {MANIFEST, *(OF_A_RUN if is_run else ())}
        results = [file for file in sorted(names - known) if file.endswith(".json") and not file.startswith(".")]
        discovery.results += [folder / file for file in results if _is_new(folder / file, seen)]
