"""Vectors of sentences, each distinct one encoded once; what an encoder returns is checked."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from dalr.errors import InputError
from dalr.evaluation.cache import VectorCache

Encode = Callable[[list[str]], Any]
"""Any function from n sentences to an array or tensor [n, D]."""

AT_ONCE = 8192
"""Sentences in one call of the encoder; it splits them into batches itself."""


class EncodedSentences:
    """The vectors of all sentences met so far, float32 [n, D]; with a cache, also those of earlier
    evaluations of the same model."""

    def __init__(self, encode: Encode, cache: VectorCache | None = None) -> None:
        self._encode, self._cache = encode, cache
        self._rows: dict[str, int] = {}
        self._blocks: list[np.ndarray] = []
        self._joined: np.ndarray | None = None
        self.dimension: int | None = None
        for sentences, block in cache.read() if cache is not None else []:
            new = [row for row, sentence in enumerate(sentences) if sentence not in self._rows]
            self.keep([sentences[row] for row in new], checked(block, sentences, self.dimension)[new])

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, sentences: Iterable[str]) -> int:
        """Encodes those not met before, longest first; returns how many that were."""
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._rows]
        new.sort(key=len, reverse=True)
        for start in range(0, len(new), AT_ONCE):
            chunk = new[start : start + AT_ONCE]
            block = checked(self._encode(chunk), chunk, self.dimension)
            self.keep(chunk, block)
            if self._cache is not None:
                self._cache.write(chunk, block)
        return len(new)

    def keep(self, sentences: Sequence[str], block: np.ndarray) -> None:
        """Takes vectors that were made elsewhere: sentences not met before, float32 [n, D]."""
        first = len(self._rows)
        self._rows.update((sentence, first + row) for row, sentence in enumerate(sentences))
        self.dimension = block.shape[1]
        self._blocks.append(block)
        self._joined = None

    def of(self, sentences: Sequence[str]) -> np.ndarray:
        """The sentences' vectors, float32 [n, D], in the order given."""
        self.add(sentences)
        if self._joined is None:
            self._joined = np.concatenate(self._blocks)
            self._blocks = [self._joined]
        return self._joined[[self._rows[sentence] for sentence in sentences]]


def checked(returned: Any, sentences: Sequence[str], dimension: int | None) -> np.ndarray:
    """What an encoder returned, as float32 [n, D].

    Raises:
        InputError: not n rows, not numbers, not finite, or not of the `dimension` of earlier calls.
    """
    if hasattr(returned, "detach"):
        returned = returned.detach().to("cpu").float().numpy()
    try:
        vectors = np.asarray(returned, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"encoder: returned no array of numbers: {error}") from error
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise InputError(f"encoder: returned shape {vectors.shape}, expected ({len(sentences)}, D)")
    if len(vectors) != len(sentences):
        raise InputError(f"encoder: returned {len(vectors)} rows for {len(sentences)} sentences")
    if dimension is not None and vectors.shape[1] != dimension:
        raise InputError(f"encoder: dimension changed between batches, from {dimension} to {vectors.shape[1]}")
    check_finite(vectors, sentences)
    return vectors


def check_finite(vectors: np.ndarray, sentences: Sequence[str], name: str = "encoder") -> None:
    """Raises InputError where a sentence's vector, a row of float32 [n, D], has NaN or infinity in it."""
    finite = np.isfinite(vectors).all(1)
    if not finite.all():
        row, count = int(np.argmin(finite)), int((~finite).sum())
        others = f", as are {count - 1} others of {len(finite)}" if count > 1 else ""
        raise InputError(f"{name}: the vector of {sentences[row][:60]!r} is not finite (NaN or infinity){others}")
