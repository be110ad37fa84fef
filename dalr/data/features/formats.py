"""Reads feature files of other projects, and keeps what it read as `.npy` in the store."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import pyarrow.parquet as pq

from dalr.checksums import checksum_of
from dalr.data.saved import RowWriter, are_saved, folder_for, saving
from dalr.data.store import locked
from dalr.errors import InputError
from dalr.files import write_json
from dalr.reading import reading

CHUNK = 1024
"""Rows that are in memory at once."""

SIGNATURES = {b"\x93NUMPY": ".npy", b"\x89HDF\r\n\x1a\n": ".hdf5", b"PAR1": ".parquet", b"{": ".json"}
ENDINGS = {".npy": ".npy", ".h5": ".hdf5", ".hdf5": ".hdf5", ".parquet": ".parquet", ".json": ".json"}

Chunks = Iterator[tuple[list[str] | None, Any]]
"""Ids, where the file has them, and rows [n, width], a part of the file at a time."""


@dataclass(frozen=True)
class Published:
    """`rows`: a `.npy` of float16 [n, width]. `ids`: their names, None where the file has none."""

    rows: Path
    ids: list[str] | None


def format_of(path: Path, what: str) -> str:
    """`.npy`, `.hdf5`, `.parquet` or `.json`: by the file's first bytes, else by its ending.

    Raises:
        InputError: neither says any of these.
    """
    with path.open("rb") as file:
        begins = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    by_content = next((name for signature, name in SIGNATURES.items() if begins.startswith(signature)), None)
    ending = by_content or ENDINGS.get(path.suffix.lower())
    if ending is None:
        raise InputError(f"{what}: {path}: expected one of {', '.join(ENDINGS)}, by content or by ending")
    return ending


def imported(path: Path, what: str, store: Path) -> Published:
    """The rows of an HDF5 or Parquet file, converted into the store where they are not there yet, in memory
    that does not grow with the file.

    Raises:
        InputError: the file is not what its format says; the message names it and says what was
            expected.
    """
    identity = {"layout": "rows", "file": checksum_of(path), "dtype": "float16"}
    folder = folder_for(store, "imported", identity)
    if not are_saved(folder, identity):
        with locked(store, folder.name):
            if not are_saved(folder, identity):
                _convert(path, what, folder, identity)
    named = folder / "ids.json"
    return Published(folder / "features.npy", json.loads(named.read_text(encoding="utf-8")) if named.exists() else None)


def _convert(path: Path, what: str, folder: Path, identity: dict[str, Any]) -> None:
    ids: list[str] = []
    where = f"{what}: {path}"
    with saving(folder, identity) as aside, RowWriter(aside / "features.npy", where) as writer:
        for names, rows in READERS[format_of(path, what)](path, what):
            writer.append(rows)
            ids.extend(names or ())
        if not writer.rows:
            raise InputError(f"{where} has no rows")
        if ids:
            write_json(aside / "ids.json", ids)


def read_hdf5(path: Path, what: str) -> Chunks:
    """MCSE's layout: a data set `features` [n, width], rows in the order of the caption file."""
    with reading(path, what, "a whole HDF5 file"), h5py.File(path, "r") as file:
        features = file.get("features")
        if not isinstance(features, h5py.Dataset):
            raise InputError(f"{what}: {path}: no data set `features`; it has: {', '.join(file) or 'none'}")
        for start in range(0, len(features), CHUNK):
            yield None, features[start : start + CHUNK]


def read_parquet(path: Path, what: str) -> Chunks:
    """A column of ids (`id`, `image` or `image_id`) and a column of lists (`features` or `feature`)."""
    with reading(path, what, "a whole Parquet file"), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        id_column = next((name for name in ("id", "image", "image_id") if name in names), None)
        column = next((name for name in ("features", "feature") if name in names), None)
        if column is None:
            raise InputError(f"{what}: {path}: no column `features`; it has: {', '.join(names)}")
        for batch in file.iter_batches(CHUNK, columns=[name for name in (id_column, column) if name]):
            ids = batch[id_column].to_pylist() if id_column else None
            if ids is not None and None in ids:
                raise InputError(f"{what}: {path}: the column `{id_column}` has a row without a name")
            yield None if ids is None else [str(name) for name in ids], batch[column].to_pylist()


READERS: dict[str, Callable[[Path, str], Chunks]] = {".hdf5": read_hdf5, ".parquet": read_parquet}
