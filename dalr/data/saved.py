"""Arrays and texts in the feature store that are written at once: a folder with a manifest."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dalr.checksums import checksum_of
from dalr.data.rows import first_unusable
from dalr.data.store import refuse_other
from dalr.errors import InputError
from dalr.files import atomic_write, digest_of, remove_leftovers, sha256_of, write_json


def folder_for(store: Path, kind: str, identity: Mapping[str, Any]) -> Path:
    """Where the arrays of an identity lie."""
    return store / f"{kind}-{digest_of(identity)}"


@contextmanager
def saving(folder: Path, identity: Mapping[str, Any], **also: int) -> Iterator[Path]:
    """Yields a folder aside for the caller's files, which becomes `folder` when the block ends, with a
    manifest of their checksums and of `also`. The caller holds the folder's lock."""
    remove_leftovers(folder.parent, folder.name)
    with atomic_write(folder) as aside:
        aside.mkdir()
        yield aside
        files = {file.name: sha256_of(file) for file in sorted(aside.iterdir())}
        write_json(aside / "manifest.json", {"identity": dict(identity), **also, "files": files})


class RowWriter:
    """Writes rows to a `.npy` file of float16 [n, width], n unknown beforehand, in memory that does not
    grow with n. A context manager; without a row no file is written."""

    def __init__(self, path: Path, where: str) -> None:
        self.path = path
        self.where = where
        self.rows = 0
        self.width = 0
        self._file: BinaryIO | None = None

    def append(self, rows: Any) -> None:
        """Adds rows: an array or lists of numbers [n, width].

        Raises:
            InputError: no numbers, another width than the rows before, or a row that is not finite in float16 or all
                zero; names the row.
        """
        rows = _numbers(rows, self.where)
        if self._file is None:
            if not rows.shape[1]:
                raise InputError(f"{self.where}: row 0 is empty; expected numbers [rows, width]")
            self.width = rows.shape[1]
            self._file = self.path.open("wb")
            self._write_header()
        if rows.shape[1] != self.width:
            raise InputError(
                f"{self.where}: the rows differ in width: row {self.rows} has {rows.shape[1]} numbers, "
                f"those before {self.width}"
            )
        with np.errstate(over="ignore"):
            small = rows.astype(np.float16)
        if unusable := first_unusable(small):
            row, why = unusable
            raise InputError(f"{self.where}: row {self.rows + row} {why}")
        self._file.write(small.tobytes())
        self.rows += len(rows)

    def _write_header(self) -> None:
        """NumPy leaves room in the header for the first axis to grow, so a later one fits over the first."""
        assert self._file is not None
        header = {"descr": "<f2", "fortran_order": False, "shape": (self.rows, self.width)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.seek(0)
            self._write_header()
            self._file.close()


def _numbers(rows: Any, where: str) -> NDArray[Any]:
    try:
        array = np.asarray(rows)
    except ValueError as error:
        raise InputError(f"{where}: the rows differ in width, or hold what is no number") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(f"{where}: holds {array.dtype} {array.shape}; expected numbers [rows, width]")
    return array


def are_saved(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the folder holds the arrays of this identity, whole.

    Raises:
        InputError: it holds those of another; the message has the differing keys.
    """
    if not (folder / "manifest.json").exists():
        return False
    manifest = read_manifest(folder)
    refuse_other(folder, manifest["identity"], identity)
    return all(
        (folder / name).is_file() and checksum_of(folder / name) == sha for name, sha in manifest["files"].items()
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of saved arrays."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"data.store: {path} is not a manifest of the feature store; remove {folder}") from error
    if not isinstance(manifest, dict) or not {"identity", "files"} <= manifest.keys():
        raise InputError(f"data.store: {path} is not a manifest of the feature store; remove {folder}")
    return manifest
