"""Captions from the JSON files in which they are published."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dalr.errors import InputError
from dalr.reading import read_json

TRAIN_SPLITS = ("train", "restval")
"""The parts of Karpathy's split that models train on; `restval` is COCO's validation set less 10,000."""


class NoSplits(InputError):
    """A split was asked for of captions in a layout without splits."""


def json_pairs(path: Path, split: str | None = None) -> Iterator[tuple[str, str]]:
    """(image name, caption) pairs of one of two layouts:

    - Karpathy's split, `{"images": [{"filename", "split", "sentences": [{"raw"}]}]}`: the images of
      `split` (default: of `TRAIN_SPLITS`), by `filepath/filename` where there is a `filepath`;
    - COCO's annotations, `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`.

    Raises:
        InputError: another layout, a record without one of these keys or with another type of value, or one
            name for two images.
    """
    values = read_json(path, "data.captions")
    images = values.get("images") if isinstance(values, dict) else None
    if not isinstance(images, list):
        raise InputError(
            f"data.captions: {path}: expected Karpathy's split (images with sentences), COCO's annotations "
            "(images and annotations), or KDMCSE's records ({key: {image, captions}})"
        )
    records = _Records(path)
    if "annotations" in values:
        refuse_split(path, split)
        return _coco_pairs(images, records.of(values, "annotations", "the file", list), records)
    return _karpathy_pairs(images, (split,) if split else TRAIN_SPLITS, records)


def refuse_split(path: Path, split: str | None) -> None:
    """For layouts without splits."""
    if split is not None:
        raise NoSplits(f"data.captions: {path} has no splits, so none is named {split!r}; expected Karpathy's JSON")


class _Records:
    """Values of a file's records, each of the type that its layout says."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, record: Any, key: str, where: str, kind: type | tuple[type, ...] = str) -> Any:
        """`record[key]`; an InputError says `where` it is missing or of another type than `kind`."""
        if not isinstance(record, dict) or key not in record:
            raise self.error(f"{where} has no {key!r}")
        value = record[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            expected = "a list" if kind is list else "text" if kind is str else "text or a whole number"
            raise self.error(f"{where}: {key!r} is {_named(value)}, expected {expected}")
        return value

    def error(self, message: str) -> InputError:
        return InputError(f"data.captions: {self.path}: {message}")


def _named(value: Any) -> str:
    """What a JSON value is, in words."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _karpathy_pairs(images: list[Any], splits: tuple[str, ...], records: _Records) -> Iterator[tuple[str, str]]:
    places: dict[str, str] = {}
    for number, image in enumerate(images):
        where = f"images[{number}]"
        if records.of(image, "split", where) not in splits:
            continue
        name = records.of(image, "filename", where)
        if "filepath" in image:
            name = f"{records.of(image, 'filepath', where)}/{name}"
        if name in places:
            raise records.error(f"{places[name]} and {where} are both named {name}")
        places[name] = where
        for place, sentence in enumerate(records.of(image, "sentences", where, list)):
            yield name, records.of(sentence, "raw", f"{where}.sentences[{place}]")


def _coco_pairs(images: list[Any], annotations: list[Any], records: _Records) -> Iterator[tuple[str, str]]:
    names: dict[str | int, str] = {}
    for number, image in enumerate(images):
        where = f"images[{number}]"
        key, name = records.of(image, "id", where, (int, str)), records.of(image, "file_name", where)
        if names.setdefault(key, name) != name:
            raise records.error(f"image {key} is both {names[key]} and {name}")
    for number, annotation in enumerate(annotations):
        where = f"annotations[{number}]"
        image = records.of(annotation, "image_id", where, (int, str))
        if image not in names:
            raise records.error(f"{where} names image {image}, which `images` lacks")
        yield names[image], records.of(annotation, "caption", where)
