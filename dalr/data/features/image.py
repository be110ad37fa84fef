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
from PIL import Image
from torch import Tensor

from dalr.data.corpora.sources import hash_of_texts
from dalr.data.store import Bounds, Tick, even_bounds
from dalr.errors import InputError
from dalr.model.image_teacher import image_teacher
from dalr.reading import reading

BATCH = 32
SHARD = 64
"""Pictures a shard at least: what a killed extraction loses."""


@lru_cache(maxsize=1)
def _teacher(model: str, weights: str, fingerprint: str, device: str) -> Any:
    """The teacher in use, kept from one shard to the next; `fingerprint` keeps a changed one apart."""
    return image_teacher(model, weights).to(device)


def release_image_teacher() -> None:
    """Frees the teacher that extractions of this process last used."""
    _teacher.cache_clear()


@dataclass(frozen=True)
class ImageVectors:
    """One teacher's features of pictures, a row for each of `files`; `checksums` are their sha256."""

    model: str
    weights: str
    fingerprint: str
    files: tuple[Path, ...]
    checksums: tuple[str, ...]
    device: str = "cpu"

    @property
    def kind(self) -> str:
        """The first word of the array's folder."""
        return "image"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the features: what the pictures contain, not how their files are called."""
        return {
            "model": self.model,
            "weights": self.fingerprint,
            "images": hash_of_texts(self.checksums),
            "dtype": "float16",
        }

    @property
    def bounds(self) -> Bounds:
        """The pictures of each shard."""
        return even_bounds(len(self.files), at_least=SHARD, at_most=128)

    def compute(self, shard: int, tick: Tick) -> NDArray[np.float16]:
        """The shard's features: float16 [n, V]. Pictures are decoded in parallel, in order."""
        teacher = _teacher(self.model, self.weights, self.fingerprint, self.device)
        paths = self.files[slice(*self.bounds[shard])]
        parts = []
        # Pillow decodes and resizes without the interpreter's lock; and threads, unlike forked processes,
        # need no shared memory and may run beside CUDA and Ray.
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
    fingerprint: str
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
            "weights": self.fingerprint,
            "captions": hash_of_texts(self.captions),
            "dtype": "float16",
        }

    @property
    def bounds(self) -> Bounds:
        """The captions of each shard."""
        return even_bounds(len(self.captions), at_least=1024)

    def compute(self, shard: int, tick: Tick) -> NDArray[np.float16]:
        """The shard's features: float16 [n, C]."""
        teacher = _teacher(self.model, self.weights, self.fingerprint, self.device)
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
    with reading(path, "data.images", "a whole picture"):
        try:
            with Image.open(path) as picture:
                return preprocess(picture.convert("RGB"))
        except Image.DecompressionBombError as error:
            raise InputError(f"data.images: {path} is too large a picture: {error}; scale it down") from error
