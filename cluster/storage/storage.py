"""Where a run is kept: in a folder that every node sees, or on a file system that a URI names."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from dalr.cluster.storage.filesystems import Location, StorageFailed, location
from dalr.cluster.storage.mirror import Mirror, Pushes
from dalr.cluster.storage.remote_folder import RemoteFolder
from dalr.config.schema import RunConfig, cache_folder
from dalr.errors import Failed, InputError, argument
from dalr.files import writable_folder
from dalr.identity import identity_of
from dalr.metrics_log import parse_log
from dalr.training.callbacks import Callback
from dalr.training.run_folder import RunFolder, refuse_another

_SCRATCH = ".ray"
"""Ray's own notes about an attempt, inside the run's folder; of no use once it has ended."""


class Storage(Protocol):
    """A run's place. `folder` is where it is trained on this machine; `uri` is an `--out` that means this place on
    every node, `display_name` the same for messages; `poll_seconds` is how often to look at it."""

    poll_seconds: float

    @property
    def display_name(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def folder(self) -> RunFolder: ...

    def check(self, config: RunConfig, *, extend: bool = False) -> None:
        """Refuses, before anything starts, a place that holds another config's run (`extend`: or one that is not
        shorter) or cannot be written."""

    def push_pending(self, config: RunConfig) -> None:
        """Stores what the last attempt could not store, if it ran on this machine. On several machines all
        have done this before one does what follows."""

    def fetch(self) -> None:
        """Makes the folder on this machine what the run goes on from."""

    def callbacks(self, config: RunConfig) -> Sequence[Callback]:
        """What keeps the place up to date, for the worker that writes."""

    def cleanup_local(self, *, writer: bool) -> None:
        """Frees what this machine holds of a run that is finished; the worker that writes has stored it."""

    def clear(self) -> None:
        """Removes a run with other settings; its config last, by which it is known."""

    def keep(self, name: str) -> None:
        """Stores a file that was written into the folder when training had ended."""

    def attempts(self) -> int:
        """How many attempts at the run have begun to train."""

    def last_lines(self) -> list[dict[str, float]]:
        """The last lines of metrics.jsonl that are stored, as many as lie in its last 64 KiB."""

    def ray_options(self) -> dict[str, Any]:
        """Where Ray Train keeps its notes, as its own options."""

    def remove_ray_notes(self) -> None:
        """Removes them."""


def storage_at(out: str | Path) -> Storage:
    """The storage that `--out` names: a path, or a URI.

    Raises:
        InputError: a URI that no file system is known for.
    """
    text = str(out)
    if not text.strip():
        raise InputError(f"{argument('out')} is empty; give the run's folder (is a variable of the shell not set?)")
    if isinstance(out, Path) or "://" not in text:
        return SharedFolder(Path(text).absolute())
    parts = urlsplit(text)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise InputError(f"{argument('out')} {text}: expected file:///path, with three slashes")
        if "?" in text or "#" in text:
            raise InputError(
                f"{argument('out')} {text}: a path ends at ? and # in a URI; write %3F and %23, or no file://"
            )
        return SharedFolder(Path(unquote(parts.path)))
    try:
        return RemoteRun(location(text))
    except InputError as error:
        raise InputError(f"{argument('out')} {error}") from error


class SharedFolder:
    """A folder that every node sees."""

    poll_seconds = 0.5

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path)
        self.display_name = self.uri = str(path)

    def check(self, config: RunConfig, *, extend: bool = False) -> None:
        self.folder.check(identity_of(config), extend=extend)
        writable_folder(self.folder.path, argument("out"))

    def push_pending(self, config: RunConfig) -> None:
        """Nothing is stored elsewhere."""

    def fetch(self) -> None:
        """The folder is the storage."""

    def callbacks(self, config: RunConfig) -> Sequence[Callback]:
        return ()

    def cleanup_local(self, *, writer: bool) -> None:
        """The folder is the storage."""

    def clear(self) -> None:
        _clear(self.folder.path)

    def keep(self, name: str) -> None:
        """The folder is the storage."""

    def attempts(self) -> int:
        return len(self.folder.notes().get("attempts", []))

    def last_lines(self) -> list[dict[str, float]]:
        path = self.folder.metrics
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL), os.SEEK_SET)
            return _whole_lines(file.read())

    def ray_options(self) -> dict[str, Any]:
        return {"storage_path": str(self.folder.path / _SCRATCH)}

    def remove_ray_notes(self) -> None:
        shutil.rmtree(self.folder.path / _SCRATCH, ignore_errors=True)


class RemoteRun:
    """A folder on a file system elsewhere; each machine that trains has a mirror of it."""

    poll_seconds = 5.0

    def __init__(self, place: Location) -> None:
        self._remote = opened(place)
        self.uri = place.uri
        self.display_name = place.display_name
        self.folder = RunFolder(mirror_of(place), display_name=self.display_name)
        self._mirror = Mirror(self._remote, self.folder)

    def check(self, config: RunConfig, *, extend: bool = False) -> None:
        try:
            written = self._remote.read("config.yaml")
            if written is not None:
                notes = _json_object(self._remote.read("provenance.json"))
                text = written.decode("utf-8", errors="replace")
                refuse_another(text, notes, self.display_name, identity_of(config), extend=extend)
            self._remote.check_writable()
        except StorageFailed as error:
            raise InputError(f"{argument('out')} {error}") from error

    def push_pending(self, config: RunConfig) -> None:
        with self.folder.locked():
            if self._mirror.is_ahead():
                self._mirror.push(keep=config.train.keep)

    def fetch(self) -> None:
        with self.folder.locked():
            self._mirror.pull()

    def callbacks(self, config: RunConfig) -> Sequence[Callback]:
        return (Pushes(self._mirror, keep=config.train.keep),)

    def cleanup_local(self, *, writer: bool) -> None:
        try:
            # Machines may share a home: then this is the folder that the writer still reads.
            if writer or not self._mirror.is_ahead():
                self._mirror.remove_local()
        except StorageFailed:
            return  # it is found again by the next attempt

    def clear(self) -> None:
        names = self._remote.files()
        for name in sorted(names, key=lambda name: name == _CONFIG):
            self._remote.remove(name)
        _clear(self.folder.path)

    def keep(self, name: str) -> None:
        self._remote.upload(self.folder.path / name, name)

    def attempts(self) -> int:
        notes = self._remote.read("provenance.json")
        return len(json.loads(notes).get("attempts", [])) if notes else 0

    def last_lines(self) -> list[dict[str, float]]:
        try:
            end = self._remote.read("metrics.jsonl", last=_TAIL)
        except Failed:
            return []  # the worker that trains reports it
        return _whole_lines(end) if end is not None else []

    def ray_options(self) -> dict[str, Any]:
        path = f"{self._remote.path}/{_SCRATCH}"
        return {"storage_path": path, "storage_filesystem": self._remote.filesystem}

    def remove_ray_notes(self) -> None:
        try:
            self._remote.remove_folder(_SCRATCH)
        except StorageFailed:
            return  # as hidden as they are small


def mirror_of(place: Location, kind: str = "mirrors") -> Path:
    """The folder of this machine in which a copy of a remote one lies."""
    digest = hashlib.sha256(place.identity.encode()).hexdigest()[:16]
    return (cache_folder() / kind / digest / (place.display_name.rpartition("/")[2] or "run")).absolute()


_CONFIG = "config.yaml"


def _clear(folder: Path) -> None:
    """Removes all but the locks from a run's folder."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == _CONFIG):
        if path.name.endswith(".lock"):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def opened(place: Location) -> RemoteFolder:
    """The remote folder at the place that `--out` names.

    Raises:
        InputError: it cannot be set up here.
    """
    try:
        return RemoteFolder.at(place)
    except StorageFailed as error:
        raise InputError(f"{argument('out')} {error}") from error


def _json_object(data: bytes | None) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none that can be read."""
    try:
        values = json.loads(data or b"{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


_TAIL = 2**16


def _whole_lines(end: bytes) -> list[dict[str, float]]:
    """The whole lines of the end of a metrics.jsonl."""
    return list(parse_log(end).lines)
