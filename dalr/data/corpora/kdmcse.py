"""KDMCSE's published file, captions and features of both kinds in one JSON, converted once into the store.

    {key: {"image": name, "captions": [text], "image_feat": [number], "lang_feat": [[number]]}}

COCO's has hundreds of millions of numbers, so it is read record by record.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import ijson
import numpy as np
from numpy.typing import NDArray

from dalr.checksums import checksum_of
from dalr.data.saved import RowWriter, are_saved, folder_for, saving
from dalr.data.store import locked
from dalr.errors import InputError
from dalr.files import write_json
from dalr.reading import reading

PARTS = ("captions", "image_feat", "lang_feat")
"""What all records of a file have, or none."""


class Records:
    """A converted file: M images, N captions.

    `folder` holds `image_feat.npy`, float16 [M, V], and `lang_feat.npy`, float16 [N, C], where the file has
    such features, and the texts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _texts(self) -> dict[str, list[Any]]:
        return json.loads((self.folder / "texts.json").read_text(encoding="utf-8"))

    @property
    def images(self) -> list[str]:
        """The images' names [M], in the order of the records."""
        return self._texts["images"]

    @property
    def captions(self) -> list[str]:
        """The captions [N], record by record."""
        return self._texts["captions"]

    @property
    def image_of_caption(self) -> NDArray[np.int64]:
        """The place in `images` of each caption's image: int64 [N]."""
        return np.repeat(np.arange(len(self.images)), self._texts["captions_of_image"])

    def features(self, part: str) -> Path | None:
        """The `.npy` file of `image_feat` or `lang_feat`; None where the records have none."""
        path = self.folder / f"{part}.npy"
        return path if path.exists() else None


def is_kdmcse(path: Path, what: str) -> bool:
    """Whether a JSON file is an object whose first value is a record of this layout."""
    with path.open("rb") as file, reading(path, what, "readable JSON"):
        events = (event for _, event, _ in ijson.parse(file))
        if [next(events, None) for _ in range(3)] != ["start_map", "map_key", "start_map"]:
            return False
        file.seek(0)
        _, record = next(ijson.kvitems(file, ""))
        return any(part in record for part in PARTS)


def kdmcse_pairs(path: Path, what: str) -> Iterator[tuple[str, str]]:
    """(image name, caption) pairs, in the order of the file."""
    for image, record in _records(path, what):
        if "captions" not in record:
            raise InputError(f"{what}: {path}: record {image!r} has no 'captions'")
        for caption in record["captions"]:
            yield image, caption


def kdmcse_records(path: Path, what: str, store: Path) -> Records:
    """The file's records from the store, converted now where it lacks them.

    Raises:
        InputError: not JSON, not of this layout, or features that are no numbers; names the record.
    """
    identity = {"layout": "kdmcse", "file": checksum_of(path), "dtype": "float16"}
    folder = folder_for(store, "kdmcse", identity)
    if not are_saved(folder, identity):
        with locked(store, folder.name):
            if not are_saved(folder, identity):
                _convert(path, what, folder, identity)
    return Records(folder)


def _convert(path: Path, what: str, folder: Path, identity: dict[str, Any]) -> None:
    where = f"{what}: {path}"
    images: list[str] = []
    captions: list[str] = []
    counts: list[int] = []
    with (
        saving(folder, identity) as aside,
        RowWriter(aside / "image_feat.npy", f"{where}: image_feat") as image_rows,
        RowWriter(aside / "lang_feat.npy", f"{where}: lang_feat") as caption_rows,
    ):
        for image, record in _records(path, what):
            images.append(image)
            texts = record.get("captions", [])
            captions.extend(texts)
            counts.append(len(texts))
            if "image_feat" in record:
                image_rows.append([record["image_feat"]])
            if record.get("lang_feat"):
                caption_rows.append(record["lang_feat"])
        write_json(aside / "texts.json", {"images": images, "captions": captions, "captions_of_image": counts})


def _records(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each record under its image's name, its texts and the lengths of its lists checked."""
    parts: set[str] | None = None
    with path.open("rb") as file, reading(path, what, "readable JSON"):
        for key, record in ijson.kvitems(file, "", use_float=True):
            where = f"{what}: {path}: record {key!r}"
            if not isinstance(record, dict):
                raise InputError(f"{what}: {path}: expected KDMCSE's records, {{key: {{image, captions, ...}}}}")
            parts = {part for part in PARTS if part in record} if parts is None else parts
            for part in PARTS:
                if (part in record) != (part in parts):
                    raise InputError(f"{where} has {'a' if part in record else 'no'} {part!r}, unlike those before it")
                if part in record and not isinstance(record[part], list):
                    raise InputError(f"{where}: {part!r} is not a list")
            image, captions = record.get("image", key), record.get("captions", [])
            if not all(isinstance(text, str) for text in (image, *captions)):
                raise InputError(f"{what}: {path}: {key}: a caption or the image's name is not text")
            if "lang_feat" in record and len(record["lang_feat"]) != len(captions):
                raise InputError(f"{where} has {len(record['lang_feat'])} vectors for {len(captions)} captions")
            yield image, record
    if parts is None:
        raise InputError(f"{what}: {path}: expected KDMCSE's records, {{key: {{image, captions, ...}}}}")
