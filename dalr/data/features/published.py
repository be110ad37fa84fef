"""Features that others computed, in the formats in which they are published, matched to the captions.

`.npy` with a file of ids; MCSE's HDF5 (`features`); KDMCSE's JSON; Parquet with columns of ids and
features. All but `.npy` are converted into the store once.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dalr.config.schema import DataConfig
from dalr.data.corpora.kdmcse import Records, kdmcse_records
from dalr.data.corpora.sources import Captions
from dalr.data.features.formats import format_of, imported
from dalr.data.features.pictures import image_names
from dalr.data.names import match_names
from dalr.data.rows import IndexedRows, MappedRows, Rows, first_unusable
from dalr.errors import InputError
from dalr.files import existing_file
from dalr.reading import read_plain_lines, reading

CHUNK = 8192


def published_image_features(data: DataConfig, captions: Captions) -> Rows:
    """Image features [M, V] in the order of `captions.image_ids`.

    The file's rows are named by the file itself, else by `data.image_ids`, else they are in the order
    of the captions: a row for each image, or for each caption (MCSE's repeat an image's).

    Raises:
        InputError: a malformed file; an image without a row: the message has the first missing ids
            and how many there are; a name that could mean several images or rows.
    """
    assert data.image_features is not None
    path = existing_file(data.image_features, "data.image_features")
    array, ids = _opened(path, data)
    if ids is None and data.image_ids is None:
        return IndexedRows(array, _by_position(captions, array.shape[0], path))
    ids = read_ids(data.image_ids, array, path) if ids is None else ids
    names = captions.image_ids if captions.named else image_names(data, captions)
    lacks = f"data.image_features: {path} lacks %d of the %d images of data.captions"
    return IndexedRows(array, match_names(names, ids, lacks=lacks, equal=_equal_rows(array)))


def published_caption_features(data: DataConfig, captions: Captions) -> Rows:
    """The image teacher's caption features [N, C], row i of caption i: named by image and caption in
    KDMCSE's JSON, in the order of the captions elsewhere."""
    assert data.caption_features is not None
    assert data.store is not None
    what = "data.caption_features"
    path = existing_file(data.caption_features, what)
    format_name = format_of(path, what)
    if format_name == ".json":
        return _kdmcse_caption_features(kdmcse_records(path, what, Path(data.store)), captions, f"{what}: {path}")
    array = mapped(path if format_name == ".npy" else imported(path, what, Path(data.store)).rows, what)
    if array.shape[0] != len(captions):
        raise InputError(f"{what}: {path} has {array.shape[0]} rows for {len(captions)} captions")
    return array


def _kdmcse_caption_features(records: Records, captions: Captions, where: str) -> Rows:
    """The images are matched by name, then the captions of each by their words."""
    array = _features_of(records, "lang_feat", where)
    lacks = f"{where} lacks %d of the %d images of data.captions"
    images = match_names(captions.image_ids, records.images, lacks=lacks)
    own = zip(images[captions.image_of_caption], captions.captions, strict=True)
    theirs = zip(records.image_of_caption, records.captions, strict=True)
    wanted, available = ([f"{image}\t{' '.join(text.split())}" for image, text in pairs] for pairs in (own, theirs))
    lacks = f"{where} lacks %d of the %d captions of data.captions"
    return IndexedRows(array, match_names(wanted, available, lacks=lacks, equal=_equal_rows(array), loosely=False))


def _features_of(records: Records, part: str, where: str) -> MappedRows:
    path = records.features(part)
    if path is None:
        raise InputError(f"{where}: its records have no {part!r}")
    return MappedRows(path)


def _equal_rows(array: Rows) -> Callable[[int, int], bool]:
    return lambda row, other: bool(np.array_equal(*array.rows(np.asarray([row, other]))))


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


def _opened(path: Path, data: DataConfig) -> tuple[MappedRows, Sequence[str] | None]:
    """The rows of a file of image features, and their ids where the file has them."""
    what = "data.image_features"
    format_name = format_of(path, what)
    if format_name == ".npy":
        return mapped(path, what), None
    assert data.store is not None  # absolute paths set it
    if format_name == ".json":
        records = kdmcse_records(path, what, Path(data.store))
        return _features_of(records, "image_feat", f"{what}: {path}"), records.images
    published = imported(path, what, Path(data.store))
    return MappedRows(published.rows), published.ids


def mapped(path: Path, what: str) -> MappedRows:
    """A `.npy` file of finite floats [n, width]."""
    with reading(path, what, "a whole .npy file"):
        rows = MappedRows(path)
    if rows.array.ndim != 2 or rows.array.dtype.kind != "f":
        raise InputError(f"{what}: {path} holds {rows.array.dtype} {rows.array.shape}; expected floats [rows, width]")
    if not all(rows.shape):
        raise InputError(f"{what}: {path} is empty: {rows.array.shape}; expected floats [rows, width]")
    state = path.stat()
    if unusable := _first_unusable(path, state.st_mtime_ns, state.st_size):
        row, why = unusable
        raise InputError(f"{what}: {path}: row {row} {why}")
    return rows


@lru_cache(maxsize=64)
def _first_unusable(path: Path, mtime_ns: int, size: int) -> tuple[int, str] | None:
    """The first row that is not finite in float32 or all zero, and which of these; looked for once in a process."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    for start in range(0, len(array), CHUNK):
        with np.errstate(over="ignore"):
            unusable = first_unusable(array[start : start + CHUNK].astype(np.float32))
        if unusable:
            return start + unusable[0], unusable[1]
    return None


def read_ids(image_ids: str | None, array: Rows, path: Path) -> list[str]:
    """The ids of an array's rows: one a line of the file `data.image_ids`."""
    if image_ids is None:
        raise InputError(f"data.image_ids is not set: it names the rows of {path}, one id a line")
    ids = [line.strip() for line in read_plain_lines(image_ids, "data.image_ids", "id")]
    while ids and not ids[-1]:
        ids.pop()
    if "" in ids:
        raise InputError(f"data.image_ids: {image_ids}, line {ids.index('') + 1} is empty; expected an id a line")
    if len(ids) != array.shape[0]:
        raise InputError(f"data.image_ids: {image_ids} has {len(ids)} ids for the {array.shape[0]} rows of {path}")
    return ids
