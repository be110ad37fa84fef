"""A folder on a pyarrow file system: the few things that a run does with it.

Files are copied chunk by chunk and not by `pyarrow.fs.copy_files`, which raises the same OSError whether the
remote side failed, which is waited out, or this machine's disk is full, which ends the run.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pyarrow import fs

from dalr.cluster.storage.filesystems import Location, translate_errors
from dalr.files import atomic_write

_CHUNK = 8 * 2**20
_WITHOUT_FOLDERS = ("s3", "gcs")
"""Object stores: a file's folders need not be there before it."""


class RemoteFolder:
    """Names are relative to the folder, with slashes. Every method raises `StorageFailed`."""

    def __init__(self, filesystem: fs.FileSystem, path: str, display_name: str) -> None:
        self.filesystem = filesystem
        self.path = path
        self.display_name = display_name

    @classmethod
    def at(cls, place: Location) -> Self:
        """The folder at a location, which need not exist."""
        return cls(*place.open(), place.display_name)

    def files(self, below: str = "", *, recursive: bool = True) -> dict[str, int]:
        """The size in bytes of each file below the folder, or below one in it, by name; none where there is no folder.
        Without `recursive`, of those that lie directly there."""
        with translate_errors(self.display_name):
            place = self._at(below) if below else self.path
            selector = fs.FileSelector(place, recursive=recursive, allow_not_found=True)
            infos = self.filesystem.get_file_info(selector)
        prefix = f"{self.path}/"
        return {info.path.removeprefix(prefix): info.size for info in infos if info.type == fs.FileType.File}

    def read(self, name: str, *, last: int | None = None) -> bytes | None:
        """A small file's bytes, or its `last` ones; None where it is not there."""
        with translate_errors(f"{self.display_name}/{name}"):
            try:
                with self.filesystem.open_input_file(self._at(name)) as file:
                    if last is not None:
                        file.seek(max(0, file.size() - last))
                    return file.read()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Writes a small file."""
        self._write(name, iter([data]))

    def upload(self, path: Path, name: str) -> None:
        """Copies a local file here."""
        with path.open("rb") as file:
            self._write(name, iter(lambda: file.read(_CHUNK), b""))

    def _write(self, name: str, chunks: Iterator[bytes]) -> None:
        target = self._at(name)
        with translate_errors(f"{self.display_name}/{name}"):
            if self.filesystem.type_name not in _WITHOUT_FOLDERS:
                self.filesystem.create_dir(target.rpartition("/")[0], recursive=True)
            with self.filesystem.open_output_stream(target) as stream:
                for chunk in chunks:
                    stream.write(chunk)

    def download(self, name: str, path: Path) -> None:
        """Copies a file from here to the local `path`, which holds it whole or not at all."""
        with atomic_write(path) as aside, aside.open("wb") as file:
            for chunk in self._chunks(name):
                file.write(chunk)

    def _chunks(self, name: str) -> Iterator[bytes]:
        # One block for each call: what the caller does with a chunk is not this folder's failure.
        with translate_errors(f"{self.display_name}/{name}"):
            stream = self.filesystem.open_input_stream(self._at(name))
        with stream:
            while True:
                with translate_errors(f"{self.display_name}/{name}"):
                    chunk = stream.read(_CHUNK)
                if not chunk:
                    return
                yield chunk

    def rename(self, name: str, new: str) -> None:
        """Renames a file."""
        with translate_errors(f"{self.display_name}/{name}"):
            if self.filesystem.type_name not in _WITHOUT_FOLDERS:
                self.filesystem.create_dir(self._at(new).rpartition("/")[0], recursive=True)
            self.filesystem.move(self._at(name), self._at(new))

    def remove(self, name: str) -> None:
        """Removes a file; nothing happens where it is not there."""
        with translate_errors(f"{self.display_name}/{name}"):
            try:
                self.filesystem.delete_file(self._at(name))
            except FileNotFoundError:
                return

    def remove_folder(self, name: str) -> None:
        """Removes a folder with all that is in it; nothing happens where it is not there."""
        with translate_errors(f"{self.display_name}/{name}"):
            try:
                self.filesystem.delete_dir(self._at(name))
            except FileNotFoundError:
                return

    def check_writable(self) -> None:
        """Writes a file and removes it again."""
        probe = f".write-test-{uuid.uuid4().hex[:8]}"
        self.write(probe, b"dalr")
        self.remove(probe)

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}"
