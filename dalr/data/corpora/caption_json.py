"""Captions from the JSON files in which they are published."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dalr.errors import InputError
from dalr.files import read_utf8

TRAIN_SPLITS = ("train", "restval")
"""The parts of Karpathy's split that models train on; `restval` is COCO's validation set less 10,000."""


def json_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """(image id, caption) pairs of one of three layouts:

    - Karpathy's split, `{"images": [{"filename", "split", "sentences": [{"raw"}]}]}`: its train and
      restval images;
    - COCO's annotations, `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`;
    - KDMCSE's features, `{key: {"image", "captions": [...]}}`.

    Raises:
        InputError: another layout, or a record without one of these keys.
    """
    values = read_json(path, "data.captions")
    if not isinstance(values, dict):
        raise _unknown_layout(path)
    if isinstance(values.get("images"), list) and isinstance(values.get("annotations"), list):
        return _coco_pairs(values, path)
    if isinstance(values.get("images"), list):
        return _karpathy_pairs(values["images"], path)
    if values and all(isinstance(record, dict) and "captions" in record for record in values.values()):
        return _kdmcse_pairs(values, path)
    raise _unknown_layout(path)


def read_json(path: Path, what: str) -> Any:
    """A JSON file's value; malformed JSON is an InputError that names the line."""
    try:
        return json.loads(read_utf8(path, what))
    except json.JSONDecodeError as error:
        raise InputError(f"{what}: {path}, line {error.lineno}: not valid JSON: {error.msg}") from error


def _unknown_layout(path: Path) -> InputError:
    return InputError(
        f"data.captions: {path}: expected Karpathy's split (images with sentences), COCO's annotations "
        "(images and annotations), or KDMCSE's records ({key: {image, captions}})"
    )


def _field(record: Any, key: str, path: Path, where: str) -> Any:
    if not isinstance(record, dict) or key not in record:
        raise InputError(f"data.captions: {path}: {where} has no {key!r}")
    return record[key]


def _text(record: Any, key: str, path: Path, where: str) -> str:
    value = _field(record, key, path, where)
    if not isinstance(value, str):
        raise InputError(f"data.captions: {path}: {where}: {key!r} is not text")
    return value


def _karpathy_pairs(images: list[Any], path: Path) -> Iterator[tuple[str, str]]:
    for number, image in enumerate(images):
        where = f"images[{number}]"
        if _field(image, "split", path, where) not in TRAIN_SPLITS:
            continue
        name = _text(image, "filename", path, where)
        for place, sentence in enumerate(_field(image, "sentences", path, where)):
            yield name, _text(sentence, "raw", path, f"{where}.sentences[{place}]")


def _coco_pairs(values: dict[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    names = {
        _field(image, "id", path, f"images[{number}]"): _text(image, "file_name", path, f"images[{number}]")
        for number, image in enumerate(values["images"])
    }
    for number, annotation in enumerate(values["annotations"]):
        where = f"annotations[{number}]"
        image = _field(annotation, "image_id", path, where)
        if image not in names:
            raise InputError(f"data.captions: {path}: {where} names image {image}, which `images` lacks")
        yield names[image], _text(annotation, "caption", path, where)


def _kdmcse_pairs(values: dict[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    for key, record in values.items():
        for caption in _field(record, "captions", path, key):
            if not isinstance(caption, str):
                raise InputError(f"data.captions: {path}: {key}: a caption is not text")
            yield record.get("image", key), caption
