"""The image teacher's features as extractions of the store: of pictures, and of their captions."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from dalr.data.sources import hash_of_texts
from dalr.data.store import Bounds, Tick, even_bounds
from dalr.errors import InputError
from dalr.model.image_teacher import ImageTeacherEncoder, weights_fingerprint

BATCH = 32


@lru_cache(maxsize=1)
def _teacher(model: str, weights: str, fingerprint: str, device: str) -> ImageTeacherEncoder:
    """The teacher in use, kept from one shard to the next; `fingerprint` keeps a changed one apart."""
    return ImageTeacherEncoder(model, weights).to(device)


def release_image_teacher() -> None:
    """Frees the teacher that extractions of this process last used."""
    _teacher.cache_clear()


@dataclass(frozen=True)
class ImageVectors:
    """One teacher's features of pictures, a row for each of `images`, names inside `folder`."""

    model: str
    weights: str
    folder: str
    images: tuple[str, ...]
    device: str = "cpu"

    @property
    def kind(self) -> str:
        """The first word of the array's folder."""
        return "image"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the features. A picture counts as the same while its name and its size in bytes
        are: to hash gigabytes of pictures before every run would cost more than it saves."""
        sizes = (f"{name}:{_size(Path(self.folder) / name)}" for name in self.images)
        return {
            "model": self.model,
            "weights": weights_fingerprint(self.model, self.weights),
            "images": hash_of_texts(sizes),
            "dtype": "float16",
        }

    @property
    def bounds(self) -> Bounds:
        """The pictures of each shard."""
        return even_bounds(len(self.images), at_least=256)

    def compute(self, shard: int, tick: Tick) -> NDArray[np.float16]:
        """The shard's features: float16 [n, V]. Pictures are decoded in parallel, in order."""
        teacher = _teacher(self.model, self.weights, weights_fingerprint(self.model, self.weights), self.device)
        start, stop = self.bounds[shard]
        paths = [Path(self.folder) / name for name in self.images[start:stop]]
        parts = []
        # Threads suffice: Pillow decodes and resizes without the interpreter's lock.
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as decoders:
            pictures = decoders.map(partial(_pixels, preprocess=teacher.preprocess), paths)
            for batch in batched(pictures, BATCH):
                parts.append(teacher.images(torch.stack(batch).to(self.device)).cpu().numpy().astype(np.float16))
                tick(len(batch))
        return np.concatenate(parts)


@dataclass(frozen=True)
class CaptionVectors:
    """The image teacher's text tower on the captions, a row for each."""

    model: str
    weights: str
    captions: tuple[str, ...]
    device: str = "cpu"

    @property
    def kind(self) -> str:
        """The first word of the array's folder."""
        return "caption"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the features."""
        return {
            "model": self.model,
            "weights": weights_fingerprint(self.model, self.weights),
            "captions": hash_of_texts(self.captions),
            "dtype": "float16",
        }

    @property
    def bounds(self) -> Bounds:
        """The captions of each shard."""
        return even_bounds(len(self.captions), at_least=1024)

    def compute(self, shard: int, tick: Tick) -> NDArray[np.float16]:
        """The shard's features: float16 [n, C]."""
        teacher = _teacher(self.model, self.weights, weights_fingerprint(self.model, self.weights), self.device)
        start, stop = self.bounds[shard]
        parts = []
        for first in range(start, stop, BATCH):
            captions = self.captions[first : min(first + BATCH, stop)]
            parts.append(teacher.captions(captions, self.device).cpu().numpy().astype(np.float16))
            tick(len(captions))
        return np.concatenate(parts)


def batched(items: Iterable[Tensor], size: int) -> Iterator[list[Tensor]]:
    """The items in lists of `size`, the last one shorter."""
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch


def _pixels(path: Path, *, preprocess: Callable[[Image.Image], Tensor]) -> Tensor:
    """A picture, decoded and preprocessed: float32 [3, H, W]."""
    try:
        with Image.open(path) as picture:
            return preprocess(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"data.images: {path} is not a whole picture: {error}") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"data.images: no such picture: {path}") from error
