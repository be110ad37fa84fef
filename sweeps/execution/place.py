"""Where a sweep is kept: in a folder that every node sees, or on a file system that a URI names, its trials' runs in
mirrors on the nodes that train them.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from dalr.cluster.storage.filesystems import Location, StorageFailed, location
from dalr.cluster.storage.storage import Storage, mirror_of, opened, storage_at
from dalr.errors import InputError, argument
from dalr.files import uri_of, writable_folder
from dalr.sweeps.execution.disk import check_space
from dalr.sweeps.search.records import RUNS, Task, run_folder, run_name

_log = logging.getLogger(__name__)

NOT_COPIED = ("checkpoints", "model")
"""The folders of a run that no question about a sweep reads."""


class SweepPlace(Protocol):
    """A sweep's place. `folder` is where its own files lie on this machine; `uri` means the place on every node."""

    @property
    def folder(self) -> Path: ...
    @property
    def uri(self) -> str: ...

    def check(self) -> None:
        """Refuses, before anything starts, a place that cannot be written."""

    def fetch(self) -> None:
        """Makes the sweep's own files here what they are there."""

    def fetch_runs(self, names: Iterable[str]) -> None:
        """Brings here what runs have said and scored, by the names of their folders; no checkpoints, no models."""

    def store(self, *, last: bool = False) -> None:
        """Stores the sweep's own files. What fails is a warning, and the next call makes up for it, but for the
        `last` one, which must succeed."""

    def remove(self, run: str, *names: str) -> None:
        """Removes folders of a run that has ended."""


def place_at(out: str | os.PathLike[str]) -> SweepPlace:
    """The place that `--out` names.

    Raises:
        InputError: a URI that no file system is known for.
    """
    uri = uri_of(out)
    return SharedSweep(Path(out).absolute()) if uri is None else RemoteSweep(location(uri), "mirrors")


@contextmanager
def question(folder: str | os.PathLike[str]) -> Iterator[SweepPlace]:
    """The place of a sweep for a question about it, its own files here: of a URI, in a copy, beside the mirror that a
    running sweep writes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        uri = uri_of(folder)
        place: SweepPlace = SharedSweep(Path(folder)) if uri is None else RemoteSweep(location(uri), "copies")
        place.fetch()
        if uri and not (place.folder / "sweep.yaml").is_file():
            raise InputError(f"{uri}: not a sweep's folder (it has no sweep.yaml)")
        yield place
    except StorageFailed as error:
        raise InputError(str(error)) from error


def storage_of(task: Task, seed: int) -> Storage:
    """Where one seed's run of a task is kept."""
    name = run_name(task.name, seed)
    if uri_of(task.out) is None:
        return storage_at(run_folder(Path(task.out), task.name, seed))
    parts = urlsplit(task.out)
    return storage_at(parts._replace(path=f"{parts.path}/{RUNS}/{quote(name)}").geturl())


class SharedSweep:
    """A folder that every node sees."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = str(folder)

    def check(self) -> None:
        writable_folder(self.folder, argument("out"))
        check_space(self.folder)

    def fetch(self) -> None:
        """The folder is the place."""

    def fetch_runs(self, names: Iterable[str]) -> None:
        """The folder is the place."""

    def store(self, *, last: bool = False) -> None:
        """The folder is the place."""

    def remove(self, run: str, *names: str) -> None:
        for name in names:
            shutil.rmtree(self.folder / RUNS / run / name, ignore_errors=True)


class RemoteSweep:
    """A folder on a file system elsewhere. The sweep's own files are few and small, and written here first: `kind`
    says among what copies."""

    def __init__(self, place: Location, kind: str) -> None:
        self._remote = opened(place)
        self.uri = place.uri
        self.folder = mirror_of(place, kind)
        self._stored: dict[str, tuple[int, int]] = {}

    def check(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._remote.check_writable()
        except StorageFailed as error:
            raise InputError(f"{argument('out')} {error}") from error

    def fetch(self) -> None:
        names = [name for name in self._remote.files(recursive=False) if not name.startswith(".")]
        for path in self._own_files():
            if path.name not in names:
                path.unlink()
        for name in names:
            self._remote.download(name, self.folder / name)

    def fetch_runs(self, names: Iterable[str]) -> None:
        for run in names:
            for name in self._remote.files(f"{RUNS}/{run}"):
                parts = Path(name).parts[2:]
                if parts[0] not in NOT_COPIED and not parts[-1].startswith("."):
                    self._remote.download(name, self.folder / name)  # a score of the same length may be another one

    def store(self, *, last: bool = False) -> None:
        try:
            for path in self._own_files():
                status = path.stat()
                version = (status.st_size, status.st_mtime_ns)
                if self._stored.get(path.name) != version:
                    self._remote.upload(path, path.name)
                    self._stored[path.name] = version
        except StorageFailed as error:
            if last:
                raise StorageFailed(f"{error}; what is not stored lies in {self.folder}") from error
            _log.warning("%s; what the sweep wrote last is not stored yet", error)

    def remove(self, run: str, *names: str) -> None:
        try:
            for name in names:
                self._remote.remove_folder(f"{RUNS}/{run}/{name}")
        except StorageFailed as error:
            _log.warning("%s; it is not removed", error)

    def _own_files(self) -> list[Path]:
        paths = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return [path for path in paths if path.is_file() and not path.name.startswith(".")]
