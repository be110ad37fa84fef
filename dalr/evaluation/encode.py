"""`dalr.encode`: sentences to vectors in one call."""

import os
from collections.abc import Sequence

import numpy as np

from dalr.errors import InputError
from dalr.evaluation.encoder import SentenceEncoder
from dalr.progress import track

AT_ONCE = 4096
"""Sentences between two movements of the progress bar."""


def encode(
    model: str | os.PathLike[str],
    sentences: Sequence[str],
    *,
    pooler: str | None = None,
    device: str | None = None,
    quiet: bool = True,
) -> np.ndarray:
    """The vectors of sentences, float32 [n, D], rows in the order given.

    `model` is a run's folder, a model folder or a hub name; it is loaded at each call (`dalr.SentenceEncoder.load`
    keeps one). `pooler` and `device` default to the model folder's own pooler and to the GPU where there is one.

    Raises:
        InputError: the model cannot be found or read, the pooler does not fit it, or a vector is not finite.
    """
    if isinstance(sentences, str):
        raise InputError("encode: expected a list of sentences, not one string")
    encoder = SentenceEncoder.load(os.fspath(model), pooler, device=device)
    starts = range(0, len(sentences), AT_ONCE)
    parts = [encoder.encode(sentences[start : start + AT_ONCE]) for start in track(starts, "encoding", quiet=quiet)]
    return np.concatenate(parts) if parts else np.zeros((0, encoder.dimension), dtype=np.float32)
