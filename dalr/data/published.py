"""Features that others computed: `.npy` with a file of ids, matched to the captions' images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dalr.config import DataConfig
from dalr.data.rows import IndexedRows, MappedRows, Rows
from dalr.data.sources import Captions, read_utf8
from dalr.errors import InputError
from dalr.files import existing_file


def published_image_features(data: DataConfig, captions: Captions) -> Rows:
    """Image features [M, V] in the order of `captions.image_ids`.

    Raises:
        InputError: a malformed file; an image without a row: the message has the first missing ids
            and how many there are.
    """
    if data.image_features is None:
        raise InputError("data.image_features is not set, and there is no image teacher to make them")
    path = existing_file(data.image_features, "data.image_features")
    array = mapped(path, "data.image_features")
    ids = read_ids(data.image_ids, array, path)
    return IndexedRows(array, matched(captions.image_ids, ids, path))


def published_caption_features(data: DataConfig, captions: Captions) -> Rows:
    """The image teacher's caption features [N, C], row i of caption i."""
    if data.caption_features is None:
        raise InputError("data.caption_features is not set, and there is no image teacher to make them")
    path = existing_file(data.caption_features, "data.caption_features")
    array = mapped(path, "data.caption_features")
    if array.shape[0] != len(captions):
        raise InputError(f"data.caption_features: {path} has {array.shape[0]} rows for {len(captions)} captions")
    return array


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
