"""Walks folders for what a report is made of: results, runs, sweeps, and what is none of these."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dalr.errors import InputError

# Never looked into: weights, data in SentEval's layout, the image files beside it.
CLOSED = {"model", "checkpoints", "downstream", "images", "features", "tensorboard", "__pycache__"}
OWN_REPORT = {"report.json", "index.html"}
OF_A_RUN = {"provenance.json"}
MANIFEST = "manifest.json"  # of features and of data: known, and no result


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file or folder that a report could not use, or not use as it is, and why."""

    path: str
    message: str


@dataclass
class Found:
    """What lies under the given folders. Paths are as the user gave them, in sorted order."""

    results: list[Path] = field(default_factory=list)
    runs: list[Path] = field(default_factory=list)
    sweeps: list[Path] = field(default_factory=list)
    closed: list[tuple[Path, str]] = field(default_factory=list)  # could not be looked into, and why

    @property
    def empty(self) -> bool:
        """Whether there is nothing to report on."""
        return not (self.results or self.runs or self.sweeps)


def discover(places: Sequence[Path]) -> Found:
    """Every candidate under `places` (folders, or single result files), each once.

    A folder with config.yaml and provenance.json or metrics.jsonl is a run; one with sweep.yaml or
    trials.parquet is a sweep; every other JSON file is a candidate result, and is reported when it
    turns out to be none. Hidden folders, model weights, data and earlier reports are passed over;
    links to folders are followed, each folder once.

    Raises:
        InputError: a place does not exist, or is itself a report.
    """
    found = Found()
    seen: set[str] = set()
    for place in places:
        if place.is_file():
            found.results.append(place)
        elif all((place / name).is_file() for name in OWN_REPORT):
            raise InputError(f"report: {place} is itself a report; name the folders that it was made from")
        elif place.is_dir():
            _walk(place, found, seen)
        else:
            raise InputError(f"report: no such file or folder: {place}")
    found.results = list(dict.fromkeys(found.results))
    return found


def _walk(place: Path, found: Found, seen: set[str]) -> None:
    def closed(error: OSError) -> None:
        found.closed.append((Path(error.filename), error.strerror or "cannot be read"))

    for folder, folders, files in os.walk(place, onerror=closed, followlinks=True):
        folders[:] = sorted(name for name in folders if name not in CLOSED and not name.startswith("."))
        real = os.path.realpath(folder)
        if real in seen or set(files) >= OWN_REPORT:
            folders.clear()
            continue
        seen.add(real)
        here = Path(folder)
        names = set(files)
        is_run = "config.yaml" in names and bool(names & {"provenance.json", "metrics.jsonl"})
        if is_run:
            found.runs.append(here)
        if names & {"sweep.yaml", "trials.parquet"}:
            found.sweeps.append(here)
        known = {MANIFEST, *(OF_A_RUN if is_run else ())}
        found.results.extend(
            here / name
            for name in sorted(names)
            if name.endswith(".json") and name not in known and not name.startswith(".")
        )
