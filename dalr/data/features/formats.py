"""Reads feature files of other projects, and keeps what it read as `.npy` in the store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dalr.data.corpora.caption_json import read_json
from dalr.data.saved import are_saved, folder_for, read_manifest, save_arrays
from dalr.data.store import locked
from dalr.errors import InputError
from dalr.files import sha256_of

Table = tuple[list[str] | None, NDArray[Any]]
"""Ids, where the file has them, and features [n, width]."""


@dataclass(frozen=True)
class Published:
    """`rows`: a `.npy` of float16 [n, width]. `ids`: their names, None where the file has none."""

    rows: Path
    ids: list[str] | None


def imported(path: Path, what: str, store: Path) -> Published:
    """A feature file, converted into the store where it is not there yet.

    Raises:
        InputError: the file is not what its format says; the message names it and says what was
            expected.
    """
    identity = {"file": sha256_of(path), "key": what, "dtype": "float16"}
    folder = folder_for(store, "imported", identity)
    if not are_saved(folder, identity):
        with locked(store, folder.name):
            if not are_saved(folder, identity):
                ids, features = READERS[path.suffix](path, what)
                save_arrays(folder, identity, {"features": _checked(features, path, what)}, ids=ids)
    return Published(folder / "features.npy", read_manifest(folder)["ids"])


def caption_id(image: str, caption: str) -> str:
    """Names a caption's row: its image without folder and extension, and its words."""
    return f"{Path(image).stem}\t{' '.join(caption.split())}"


def read_hdf5(path: Path, what: str) -> Table:
    """MCSE's layout: a data set `features` [n, width], rows in the order of the caption file."""
    try:
        with h5py.File(path, "r") as file:
            if "features" not in file:
                raise InputError(f"{what}: {path}: no data set `features`; it has: {', '.join(file) or 'none'}")
            return None, file["features"][()]
    except OSError as error:
        raise InputError(f"{what}: {path} is not a whole HDF5 file: {error}") from error


def read_kdmcse(path: Path, what: str) -> Table:
    """KDMCSE's layout, `{key: {"image", "image_feat", "captions", "lang_feat"}}`: the features of the
    images, or for `data.caption_features` those of the captions, named by `caption_id`."""
    records = read_json(path, what)
    if not isinstance(records, dict) or not records:
        raise InputError(f"{what}: {path}: expected KDMCSE's records, {{key: {{image, image_feat, ...}}}}")
    ids: list[str] = []
    features: list[Any] = []
    for key, record in records.items():
        try:
            if what == "data.caption_features":
                features.extend(record["lang_feat"])
                ids.extend(caption_id(str(record["image"]), text) for text in record["captions"])
            else:
                ids.append(str(record["image"]))
                features.append(record["image_feat"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{what}: {path}: record {key!r} has no {error}") from error
    if len(ids) != len(features):
        raise InputError(f"{what}: {path} has {len(features)} vectors for {len(ids)} captions")
    return ids, _array(features, path, what)


def read_parquet(path: Path, what: str) -> Table:
    """A text column of ids (`id`, `image` or `image_id`) and a column of lists (`features` or
    `feature`)."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{what}: {path} is not a whole Parquet file: {error}") from error
    id_column = next((name for name in ("id", "image", "image_id") if name in table.column_names), None)
    column = next((name for name in ("features", "feature") if name in table.column_names), None)
    if column is None:
        raise InputError(f"{what}: {path}: no column `features`; it has: {', '.join(table.column_names)}")
    ids = [str(value) for value in table[id_column].to_pylist()] if id_column else None
    return ids, _array(table[column].to_pylist(), path, what)


READERS: dict[str, Callable[[Path, str], Table]] = {
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".json": read_kdmcse,
    ".parquet": read_parquet,
}


def _array(features: list[Any], path: Path, what: str) -> NDArray[np.float32]:
    try:
        return np.asarray(features, np.float32)
    except ValueError as error:
        raise InputError(f"{what}: {path}: the rows differ in width, or hold what is no number") from error


def _checked(features: NDArray[Any], path: Path, what: str) -> NDArray[np.float16]:
    if features.ndim != 2 or features.dtype.kind != "f" or not len(features):
        raise InputError(f"{what}: {path} holds {features.dtype} {features.shape}; expected floats [rows, width]")
    with np.errstate(over="ignore"):
        small = features.astype(np.float16)
    if not np.isfinite(small).all():
        row = int(np.argmin(np.isfinite(small).all(1)))
        raise InputError(f"{what}: {path}: row {row} is not finite in float16")
    return small
