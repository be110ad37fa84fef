"""Text teachers' features as extractions of the store: sentence vectors, and token states."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dalr.data.corpora.tokens import TokenisedCorpus
from dalr.data.store import Bounds, StoredArray, Tick, even_bounds
from dalr.model.teachers import TextTeacherEncoder

BATCH = 64
SHARD = 2048
"""Sentences a shard at least: what a killed extraction loses."""


@lru_cache(maxsize=1)
def _teacher(model: str, pooler: str, fingerprint: str, device: str) -> TextTeacherEncoder:
    """The teacher in use, kept from one shard to the next; `fingerprint` keeps a changed one apart."""
    return TextTeacherEncoder(model, pooler).to(device)


def release_teacher() -> None:
    """Frees the teacher that extractions of this process last used."""
    _teacher.cache_clear()


@dataclass(frozen=True)
class SentenceVectors:
    """One teacher's sentence vectors of one corpus, tokenised by the teacher's tokenizer."""

    model: str
    pooler: str
    fingerprint: str
    corpus: TokenisedCorpus
    device: str = "cpu"

    @property
    def kind(self) -> str:
        """The first word of the array's folder."""
        return "text"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the vectors; the corpus' key covers sentences, tokenizer and truncation."""
        return {
            "weights": self.fingerprint,
            "pooler": self.pooler,
            "corpus": self.corpus.manifest["identity"],
            "dtype": "float16",
        }

    @property
    def bounds(self) -> Bounds:
        """The sentences of each shard."""
        return even_bounds(len(self.corpus), at_least=SHARD)

    def compute(self, shard: int, tick: Tick) -> NDArray[np.float16]:
        """The shard's sentences in batches of like length: float16 [n, T]."""
        teacher = _teacher(self.model, self.pooler, self.fingerprint, self.device)
        rows = np.arange(*self.bounds[shard])
        out = np.empty((len(rows), teacher.width), np.float16)
        for places in batches_by_length(self.corpus.lengths(rows)):
            ids, mask = self.corpus.padded(rows[places])
            vectors = teacher.sentences(ids.to(self.device), mask.to(self.device))
            out[places] = vectors.cpu().numpy().astype(np.float16)
            tick(len(places))
        return out


@dataclass(frozen=True)
class TokenVectors(SentenceVectors):
    """One teacher's token states of one corpus without the first token, sentence after sentence: a
    sentence of n tokens has n - 1 rows. The pooler plays no part."""

    @property
    def kind(self) -> str:
        """The first word of the array's folder."""
        return "tokens"

    @property
    def identity(self) -> dict[str, Any]:
        """As the sentence vectors', without the pooler."""
        return {name: value for name, value in super().identity.items() if name != "pooler"}

    @property
    def bounds(self) -> Bounds:
        """The sentences of each shard."""
        return even_bounds(len(self.corpus), at_least=SHARD // 2, at_most=128)

    def compute(self, shard: int, tick: Tick) -> NDArray[np.float16]:
        """The shard's token states: float16 [Σ (n_i - 1), T]."""
        teacher = _teacher(self.model, self.pooler, self.fingerprint, self.device)
        rows = np.arange(*self.bounds[shard])
        lengths = self.corpus.lengths(rows) - 1
        starts = np.concatenate([[0], np.cumsum(lengths)])
        out = np.empty((int(starts[-1]), teacher.width), np.float16)
        for places in batches_by_length(lengths):
            ids, mask = self.corpus.padded(rows[places])
            states = teacher.tokens(ids.to(self.device), mask.to(self.device)).cpu().numpy()
            for state, place in zip(states, places, strict=True):
                out[starts[place] : starts[place + 1]] = state[: lengths[place]]
            tick(len(places))
        return out


def batches_by_length(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The places of a shard's sentences in batches, longest first: little padding, and the most
    memory at once at the beginning."""
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def token_rows(array: StoredArray, corpus: TokenisedCorpus, rows: NDArray[np.int64], length: int) -> torch.Tensor:
    """Token states of the sentences at `rows` [n] from a `TokenVectors` array, zeros after each
    sentence's end: float32 [n, length, T]."""
    out = np.zeros((len(rows), length, array.shape[1]), np.float32)
    starts, lengths = corpus.offsets[rows] - rows, corpus.lengths(rows) - 1
    places = np.concatenate([np.arange(start, start + n) for start, n in zip(starts, lengths, strict=True)])
    mask = np.arange(length) < lengths[:, None]
    out[mask] = array.rows(places)
    return torch.from_numpy(out)
