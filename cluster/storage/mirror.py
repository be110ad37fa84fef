"""A run that is trained in a local folder and kept in a remote one, the remote one being the truth.

No file system is asked for more than an object store can do. There is no rename, so a remote checkpoint
is there when its meta.json is, which is written after its other files and removed before them; metrics
and notes go before it, because a resumed run drops lines that are ahead of its checkpoint, but cannot
make up lines that are missing. There are no locks, so each attempt writes its name into `.writer`, and
one that finds another's name there stops: of two attempts on two machines the later one goes on.
"""

import json
import logging
import re
import shutil
import socket
import time
import uuid
from pathlib import Path, PurePosixPath
from typing import Any

from dalr.cluster.storage.filesystems import StorageFailed
from dalr.cluster.storage.remote_folder import RemoteFolder
from dalr.errors import InputError
from dalr.files import atomic_write, write_text
from dalr.training.callbacks import Callback, Outcome, StopTraining
from dalr.training.checkpoint_files import (
    DamagedCheckpoint,
    best_folder,
    check_usable,
    checkpoint_folder,
    complete_names,
    superseded,
)
from dalr.training.run_folder import RunFolder

WRITER = ".writer"
LAST_TRIES = 3
"""How often the last push is tried, each time with all retries of the file system's own."""
LAST_PAUSE = 10.0
"""Seconds between two of them."""
_CHECKPOINT_FILE = re.compile(r"checkpoints/((step|best)-(\d+))/([^/]+)")
_log = logging.getLogger(__name__)


class TakenOver(StorageFailed):
    """Another attempt at the run has begun since."""


class Mirror:
    """The local folder of a run on this machine, and the remote one. The caller holds the folder's lock."""

    def __init__(self, remote: RemoteFolder, folder: RunFolder) -> None:
        self.remote = remote
        self.folder = folder
        self._pushed: dict[str, tuple[int, int]] = {}

    def is_ahead(self) -> bool:
        """Whether the last attempt that wrote to the remote folder ran here: what it could not push then
        is newer than the remote folder, and is its continuation."""
        mine = self._writer_file()
        return mine.is_file() and mine.read_bytes() == self.remote.read(WRITER)

    def claim(self) -> None:
        """Makes this the attempt that writes to the remote folder."""
        name = f"{socket.gethostname()} {uuid.uuid4().hex}\n"
        self.remote.write(WRITER, name.encode())
        write_text(self._writer_file(), name)

    def pull(self) -> None:
        """Makes the local folder what the remote one holds, as far as the run's future depends on it: the
        newest checkpoint that can be used and the best one that it names; of the others, the model is
        exported again."""
        files = self.remote.files()
        kept = self._pull_newest_usable(files)
        for name in set(complete_names(self.folder.checkpoints)) - kept:
            shutil.rmtree(self.folder.checkpoints / name)
        shutil.rmtree(self.folder.model, ignore_errors=True)
        names = {name for name in files if _plain(name) and not name.startswith("model/")}
        for name in set(self._plain_files()) - names:
            (self.folder.path / name).unlink()
        for name in sorted(names):
            self.remote.download(name, self.folder.path / name)

    def _pull_newest_usable(self, files: dict[str, int]) -> set[str]:
        """Fetches the newest checkpoint that can be used, and the best one that it names; returns their names."""
        for step in reversed(complete_steps(files)):
            try:
                return self._pull_usable(step, files)
            except DamagedCheckpoint as damage:
                _log.warning("%s; %s: an earlier checkpoint takes its place", damage, self.remote.display_name)
        return set()

    def _pull_usable(self, step: int, files: dict[str, int]) -> set[str]:
        """Fetches a checkpoint and the best one that it names, and verifies them; returns their names.

        Raises:
            DamagedCheckpoint: the remote one cannot be used.
        """
        names = {_name(step), _best_in(files, self._best_named_by(step)) or _name(step)}
        for name in names:
            self._fetch(name, files)
        try:
            check_usable(self.folder.checkpoints, step)
        except DamagedCheckpoint:  # perhaps a copy that lay here already
            for name in names:
                self._fetch(name, files, anew=True)
            check_usable(self.folder.checkpoints, step)
        return names

    def _best_named_by(self, step: int) -> int | None:
        meta = self.remote.read(f"{_place(_name(step))}/meta.json")
        try:
            return json.loads(meta or b"")["best_step"]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedCheckpoint(f"{_place(_name(step))}: meta.json is not what was written") from error

    def _fetch(self, name: str, files: dict[str, int], *, anew: bool = False) -> None:
        """Downloads a checkpoint, unless the same one lies here and it is not asked for `anew`."""
        prefix, path = f"{_place(name)}/", self.folder.checkpoints / name
        sizes = {name.removeprefix(prefix): size for name, size in files.items() if name.startswith(prefix)}
        if not anew and _same(path, sizes, self.remote.read(f"{prefix}meta.json")):
            return
        with atomic_write(path) as aside:
            aside.mkdir(parents=True)
            for name in sizes:
                self.remote.download(prefix + name, aside / name)

    def set_aside_after(self, step: int) -> None:
        """Renames remote checkpoints of later steps: this attempt could not use them and will write its own."""
        for name in self.remote.files():
            match = _CHECKPOINT_FILE.fullmatch(name)
            if match and int(match.group(3)) > step:
                folder, _, file = name.rpartition("/")
                self.remote.rename(name, f"{folder}.damaged/{file}")

    def push(self, *, keep: int) -> None:
        """Brings to the remote folder all that is new here, then removes there what is superseded. What an
        earlier push did not bring is brought by this one.

        Raises:
            TakenOver: another attempt writes there now.
            StorageFailed: the remote folder cannot be written.
        """
        if not self.is_ahead():
            raise TakenOver(
                f"{self.remote.display_name}: another attempt at this run has begun since, and goes on with it"
            )
        local = self._plain_files()
        self._push_files([name for name in local if not name.startswith("model/")])
        files = self.remote.files()
        for name in complete_names(self.folder.checkpoints):  # `best-…` before the `step-…` that names it
            if f"{_place(name)}/meta.json" not in files:
                self._push_checkpoint(name)
        self._remove_superseded(keep)
        # The weights before the config, without which nothing takes the folder for a model.
        model = [name for name in local if name.startswith("model/")]
        self._push_files(sorted(model, key=lambda name: -(self.folder.path / name).stat().st_size))

    def _push_files(self, names: list[str]) -> None:
        for name in names:
            try:
                status = (self.folder.path / name).stat()
                version = (status.st_size, status.st_mtime_ns)
                if self._pushed.get(name) != version:
                    self.remote.upload(self.folder.path / name, name)
                    self._pushed[name] = version
            except FileNotFoundError:
                continue  # a tracker's, which comes and goes beside the training

    def _push_checkpoint(self, name: str) -> None:
        path = self.folder.checkpoints / name
        for file in sorted((file.name for file in path.iterdir()), key=lambda file: (file == "meta.json", file)):
            self.remote.upload(path / file, f"{_place(name)}/{file}")

    def _remove_superseded(self, keep: int) -> None:
        """Leaves the best and the last `keep` checkpoints, and nothing of any that is not complete."""
        newest = self.folder.last_step()
        if not newest:
            return
        notes = (checkpoint_folder(self.folder.checkpoints, newest) / "meta.json").read_text(encoding="utf-8")
        files = self.remote.files()
        best_step = json.loads(notes)["best_step"]
        doomed = {_name(step) for step in superseded(complete_steps(files), keep=keep, best_step=best_step)}
        for match in filter(None, map(_CHECKPOINT_FILE.fullmatch, files)):
            name, kind, step = match.group(1), match.group(2), int(match.group(3))
            whole = f"{_place(name)}/meta.json" in files
            if not whole or (kind == "best" and step < newest and name != _best_in(files, best_step)):
                doomed.add(name)
        for name in sorted(doomed):
            self.remote.remove(f"{_place(name)}/meta.json")
            self.remote.remove_folder(_place(name))

    def remove_local(self) -> None:
        """Removes the local folder, of a run that is stored."""
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def _plain_files(self) -> list[str]:
        """The names of the local files that are no part of a checkpoint, nor hidden."""
        paths = (path for path in self.folder.path.rglob("*") if path.is_file())
        names = (path.relative_to(self.folder.path).as_posix() for path in paths)
        return sorted(name for name in names if _plain(name))

    def _writer_file(self) -> Path:
        return self.folder.path / WRITER


def complete_steps(files: dict[str, int]) -> list[int]:
    """The steps of the checkpoints that are complete in a listing, ascending."""
    matches = (_CHECKPOINT_FILE.fullmatch(name) for name in files)
    whole = (match for match in matches if match and match.group(4) == "meta.json")
    return sorted(int(match.group(3)) for match in whole if match.group(2) == "step")


def _name(step: int) -> str:
    return checkpoint_folder(Path(), step).name


def _best_in(files: dict[str, int], step: int | None) -> str | None:
    """The name of the folder in a listing that has the weights after `step`."""
    if step is None:
        return None
    return next(
        (name for name in (_name(step), best_folder(Path(), step).name) if f"{_place(name)}/meta.json" in files),
        _name(step),
    )


def _place(name: str) -> str:
    return f"checkpoints/{name}"


def _plain(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return parts[0] != "checkpoints" and not any(part.startswith(".") for part in parts)


def _same(path: Path, sizes: dict[str, int], meta: bytes | None) -> bool:
    """Whether a local checkpoint is the remote one, as far as names, sizes and notes tell."""
    if not path.is_dir() or {file.name: file.stat().st_size for file in path.iterdir()} != sizes:
        return False
    return (path / "meta.json").read_bytes() == meta


class Pushes(Callback):
    """Keeps the remote folder up to date, on the worker that writes. While the run goes on, a push that
    fails is a warning, and the next one brings more; the first and the last one must succeed."""

    def __init__(self, mirror: Mirror, *, keep: int) -> None:
        self._mirror = mirror
        self._keep = keep
        self._taken_over: TakenOver | None = None

    def on_start(self, step: int, total: int) -> None:
        """See `Callback`."""
        try:
            self._mirror.claim()
            self._mirror.set_aside_after(step)
            self._mirror.push(keep=self._keep)
        except StorageFailed as error:
            raise InputError(str(error)) from error

    def on_step(self, step: int, metrics: Any) -> None:
        """See `Callback`."""
        if self._taken_over is not None:
            raise StopTraining(str(self._taken_over))

    def on_checkpoint(self, step: int) -> None:
        """See `Callback`."""
        self._try(f"step {step} is not stored yet, the next checkpoint makes up for it")

    def on_end(self, outcome: Outcome) -> None:
        """See `Callback`."""
        for remaining in reversed(range(LAST_TRIES)):
            try:
                self._mirror.push(keep=self._keep)
                return
            except TakenOver:
                raise
            except StorageFailed as error:
                if not remaining:
                    here = self._mirror.folder.path
                    text = f"{error}; what is not stored lies in {here}; the same command continues"
                    raise StorageFailed(text) from error
                time.sleep(LAST_PAUSE)

    def on_failure(self, error: BaseException) -> None:
        """See `Callback`."""
        self._try("what this attempt wrote last is not stored")

    def _try(self, otherwise: str) -> None:
        if self._taken_over is not None:
            return
        try:
            self._mirror.push(keep=self._keep)
        except TakenOver as error:
            self._taken_over = error
        except StorageFailed as error:
            _log.warning("%s; %s", error, otherwise)
