"""Features that others computed, in the formats in which they are published, matched to the captions.

`.npy` with a file of ids; MCSE's HDF5 (`features`); KDMCSE's JSON; Parquet with columns of ids and
features. All but `.npy` are converted into the store once.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dalr.config import DataConfig
from dalr.data.feature_files import READERS, Published, imported
from dalr.data.rows import IndexedRows, MappedRows, Rows
from dalr.data.sources import Captions, read_utf8
from dalr.errors import InputError
from dalr.files import existing_file


def published_image_features(data: DataConfig, captions: Captions) -> Rows:
    """Image features [M, V] in the order of `captions.image_ids`.

    The file's rows are named by the file itself, else by `data.image_ids`, else they are the images in
    the order of the captions.

    Raises:
        InputError: a malformed file; an image without a row: the message has the first missing ids
            and how many there are.
    """
    assert data.image_features is not None
    path = existing_file(data.image_features, "data.image_features")
    array, ids = _opened(path, data, "data.image_features")
    if ids is None and data.image_ids is None and array.shape[0] == len(captions.image_ids):
        return array
    return IndexedRows(array, matched(captions.image_ids, ids or read_ids(data.image_ids, array, path), path))


def published_caption_features(data: DataConfig, captions: Captions) -> Rows:
    """The image teacher's caption features [N, C], row i of caption i."""
    assert data.caption_features is not None
    path = existing_file(data.caption_features, "data.caption_features")
    array, _ = _opened(path, data, "data.caption_features")
    if array.shape[0] != len(captions):
        raise InputError(f"data.caption_features: {path} has {array.shape[0]} rows for {len(captions)} captions")
    return array


def _opened(path: Path, data: DataConfig, what: str) -> tuple[MappedRows, list[str] | None]:
    """The rows of a file, and their ids where the file has them."""
    if path.suffix == ".npy":
        return mapped(path, what), None
    if path.suffix not in READERS:
        raise InputError(f"{what}: {path}: expected one of .npy, {', '.join(READERS)}")
    assert data.store is not None  # absolute paths set it
    published: Published = imported(path, what, Path(data.store))
    return mapped(published.rows, what), published.ids


def mapped(path: Path, what: str) -> MappedRows:
    """A `.npy` file of floats [n, width]."""
    try:
        rows = MappedRows(path)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{what}: {path} is not a whole .npy file: {error}") from error
    if rows.array.ndim != 2 or rows.array.dtype.kind != "f":
        raise InputError(f"{what}: {path} holds {rows.array.dtype} {rows.array.shape}; expected floats [rows, width]")
    return rows


def read_ids(image_ids: str | None, array: Rows, path: Path) -> list[str]:
    """The ids of an array's rows: one a line of the file `data.image_ids`."""
    if image_ids is None:
        raise InputError(f"data.image_ids is not set: it names the rows of {path}, one id a line")
    ids = read_utf8(Path(image_ids), "data.image_ids").split("\n")
    ids = [line.strip() for line in ids if line.strip()]
    if len(ids) != array.shape[0]:
        raise InputError(f"data.image_ids: {image_ids} has {len(ids)} ids for the {array.shape[0]} rows of {path}")
    return ids


def matched(wanted: Sequence[str], ids: Sequence[str], path: Path) -> NDArray[np.int64]:
    """The row of each wanted id: int64 [M]."""
    places = {name: row for row, name in enumerate(ids)}
    missing = [name for name in wanted if name not in places]
    if missing:
        raise InputError(
            f"data.image_features: {path} lacks {len(missing)} of the {len(wanted)} images of data.captions, "
            f"the first: {', '.join(missing[:3])}"
        )
    return np.asarray([places[name] for name in wanted], np.int64)
