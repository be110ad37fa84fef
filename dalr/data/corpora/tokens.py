"""Corpora as token ids: tokenised once, kept memory-mapped in the feature store, padded by the batch."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from dalr.data.corpora.sources import Sentences
from dalr.data.saved import are_saved, folder_for, read_manifest, saving
from dalr.data.store import key_of, locked
from dalr.progress import track

CHUNK = 4096


class TokenisedCorpus:
    """A corpus' token ids, special tokens included, each sentence cut to `max_tokens`.

    Memory-mapped: int32 ids one after the other, and int64 offsets [N + 1]. Picklable by its place.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenisedCorpus, (self.folder,)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """How it was made: `identity`, `rows`, `pad_id`, and the checksums of its files."""
        return read_manifest(self.folder)

    @cached_property
    def ids(self) -> NDArray[np.int32]:
        """All sentences' ids, one after the other."""
        return np.load(self.folder / "ids.npy", mmap_mode="r", allow_pickle=False)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Sentence i has the ids from offsets[i] to offsets[i + 1]."""
        return np.load(self.folder / "offsets.npy", mmap_mode="r", allow_pickle=False)

    @property
    def max_tokens(self) -> int:
        """The longest that a sentence may be."""
        return self.manifest["identity"]["max_tokens"]

    @property
    def key(self) -> str:
        """Names the tokenizer, the sentences and the cut: the array's key in the store."""
        return key_of(self.manifest["identity"])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many tokens the sentences at `rows` [n] have."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def padded(self, rows: NDArray[np.int64], length: int | None = None) -> tuple[Tensor, Tensor]:
        """`input_ids` and `attention_mask`, int64 [n, L], of the sentences at `rows`; L is `length`,
        or the longest of them."""
        starts, lengths = self.offsets[rows], self.lengths(rows)
        columns = np.arange(int(lengths.max()) if length is None else length)
        mask = columns < lengths[:, None]
        places = np.where(mask, starts[:, None] + columns, 0)
        ids = np.where(mask, self.ids[places], self.manifest["pad_id"])
        return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(mask.astype(np.int64))


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """The hex sha256 of what decides a tokenizer's ids, apart from truncation and padding."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts: dict[str, Any] = {"special": {key: str(value) for key, value in tokenizer.special_tokens_map.items()}}
    if backend is not None:
        parts["backend"] = {**json.loads(backend.to_str()), "truncation": None, "padding": None}
    else:
        parts["class"] = type(tokenizer).__name__
        parts["vocab"] = tokenizer.get_vocab()
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def tokenise(
    corpus: Sentences, tokenizer: PreTrainedTokenizerBase, max_tokens: int, store: Path, *, quiet: bool = False
) -> TokenisedCorpus:
    """The corpus' token ids from the store, tokenised now where it lacks them or a checksum fails."""
    identity = {"tokenizer": tokenizer_hash(tokenizer), "data": corpus.data_hash, "max_tokens": max_tokens}
    folder = folder_for(store, "tokenised", identity)
    if are_saved(folder, identity):
        return TokenisedCorpus(folder)
    with locked(store, folder.name):
        if not are_saved(folder, identity):
            ids, offsets = _tokenised(corpus.texts, tokenizer, max_tokens, quiet)
            pad_id = tokenizer.pad_token_id or 0
            with saving(folder, identity, rows=len(corpus), pad_id=pad_id) as aside:
                np.save(aside / "ids.npy", ids, allow_pickle=False)
                np.save(aside / "offsets.npy", offsets, allow_pickle=False)
    return TokenisedCorpus(folder)


def _tokenised(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_tokens: int, quiet: bool
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    parts: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for start in track(range(0, len(texts), CHUNK), "tokenising", quiet=quiet):
        chunk = list(texts[start : start + CHUNK])
        encoded = tokenizer(chunk, truncation=True, max_length=max_tokens, return_attention_mask=False)["input_ids"]
        lengths.extend(len(row) for row in encoded)
        parts.append(np.fromiter((token for row in encoded for token in row), np.int32))
    return np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
