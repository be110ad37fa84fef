"""Features that others computed, in the formats in which they are published, matched to the captions.

`.npy` with a file of ids; MCSE's HDF5 (`features`); KDMCSE's JSON; Parquet with columns of ids and
features. All but `.npy` are converted into the store once.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dalr.config.schema import DataConfig
from dalr.data.corpora.sources import Captions
from dalr.data.features.formats import READERS, Published, caption_id, imported
from dalr.data.rows import IndexedRows, MappedRows, Rows
from dalr.errors import InputError
from dalr.files import existing_file, read_utf8


def published_image_features(data: DataConfig, captions: Captions) -> Rows:
    """Image features [M, V] in the order of `captions.image_ids`.

    The file's rows are named by the file itself, else by `data.image_ids`, else they are in the order
    of the captions: a row for each image, or for each caption (MCSE's repeat an image's).

    Raises:
        InputError: a malformed file; an image without a row: the message has the first missing ids
            and how many there are.
    """
    assert data.image_features is not None
    path = existing_file(data.image_features, "data.image_features")
    array, ids = _opened(path, data, "data.image_features")
    if ids is None and data.image_ids is None:
        return IndexedRows(array, _by_position(captions, array.shape[0], path))
    ids = read_ids(data.image_ids, array, path) if ids is None else ids
    names = captions.image_ids if captions.named else image_names(data, captions)
    lacks = f"{path} lacks %d of the %d images of data.captions"
    return IndexedRows(array, matched(_like_written(names, ids), ids, lacks))


def published_caption_features(data: DataConfig, captions: Captions) -> Rows:
    """The image teacher's caption features [N, C], row i of caption i: named by image and caption in
    KDMCSE's JSON, in the order of the captions elsewhere."""
    assert data.caption_features is not None
    path = existing_file(data.caption_features, "data.caption_features")
    array, ids = _opened(path, data, "data.caption_features")
    if ids is not None and path.suffix == ".json":
        images = [captions.image_ids[image] for image in captions.image_of_caption]
        names = [caption_id(image, text) for image, text in zip(images, captions.captions, strict=True)]
        return IndexedRows(array, matched(names, ids, f"{path} lacks %d of the %d captions", "data.caption_features"))
    if array.shape[0] != len(captions):
        raise InputError(f"data.caption_features: {path} has {array.shape[0]} rows for {len(captions)} captions")
    return array


def image_names(data: DataConfig, captions: Captions) -> tuple[str, ...]:
    """The images' names: the captions', or where these have none the lines of `data.image_ids`."""
    if captions.named:
        return captions.image_ids
    if data.image_ids is None:
        raise InputError(
            f"data.image_ids is not set: {data.captions} names no images; line i of data.image_ids names that of line i"
        )
    names = [line.strip() for line in read_utf8(Path(data.image_ids), "data.image_ids").split("\n")]
    lines = [int(line) for line in captions.image_ids]
    if lines[-1] >= len(names):
        raise InputError(f"data.image_ids: {data.image_ids} has {len(names)} lines for caption line {lines[-1] + 1}")
    return tuple(names[line] for line in lines)


def _by_position(captions: Captions, rows: int, path: Path) -> NDArray[np.int64]:
    """The row of each image in an array without ids: int64 [M]."""
    images = len(captions.image_ids)
    if not captions.named:  # an id is the line's number, and lines without words were dropped
        lines = np.asarray([int(line) for line in captions.image_ids], np.int64)
        if rows == images + captions.dropped:
            return lines
    elif rows == images:
        return np.arange(images)
    elif rows == len(captions) and not captions.dropped:
        return np.unique(captions.image_of_caption, return_index=True)[1]
    raise InputError(
        f"data.image_features: {path} has {rows} rows without ids, for {images} images and {len(captions)} captions; "
        "name its rows in data.image_ids, one id a line"
    )


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


def matched(
    wanted: Sequence[str], ids: Sequence[str], lacks: str, what: str = "data.image_features"
) -> NDArray[np.int64]:
    """The row of each wanted id: int64 [n]. `lacks` says what an id without a row means, in numbers of
    those missing and those wanted."""
    places = {name: row for row, name in enumerate(ids)}
    missing = [name for name in wanted if name not in places]
    if missing:
        raise InputError(f"{what}: {lacks % (len(missing), len(wanted))}, the first: {', '.join(missing[:3])}")
    return np.asarray([places[name] for name in wanted], np.int64)


def _like_written(names: Sequence[str], ids: Sequence[str]) -> list[str]:
    """The names in the spelling of the ids: some sources write a picture's folder or extension, others
    do not."""
    known, stems = set(ids), {Path(name).stem: name for name in ids}
    return [name if name in known else stems.get(Path(name).stem, name) for name in names]
