"""Corpora as token ids: tokenised once, kept memory-mapped in the feature store, padded by the batch."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from dalr.data.corpora.sources import Sentences
from dalr.data.saved import are_saved, folder_for, read_manifest, saving
from dalr.data.store import locked
from dalr.files import atomic_write, digest_of
from dalr.progress import track

PART = 16384
"""Sentences tokenised at once: what is lost where tokenising is cut off."""


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
        return digest_of(self.manifest["identity"])

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
            parts = folder.with_name(f"{folder.name}.parts")
            files = [
                _part(corpus.texts[start : start + PART], tokenizer, max_tokens, parts / f"{start:012d}.npz")
                for start in track(range(0, len(corpus), PART), "tokenising", quiet=quiet)
            ]
            with saving(folder, identity, rows=len(corpus), pad_id=tokenizer.pad_token_id or 0) as aside:
                _join(files, aside)
            shutil.rmtree(parts)
    return TokenisedCorpus(folder)


def _part(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_tokens: int, file: Path) -> Path:
    """The file with the ids of these sentences, one after the other, and their lengths: that of an attempt
    that was cut off, if it is whole, else a new one."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as part:
            if len(part["lengths"]) == len(texts) and part["lengths"].sum() == len(part["ids"]):
                return file
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # not there, or damaged: the zip's checksums say so
    rows = _ids_of(texts, tokenizer, max_tokens)
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    ids = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
    with atomic_write(file) as aside, aside.open("wb") as handle:
        np.savez(handle, ids=ids, lengths=lengths)
    return file


def _ids_of(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> list[list[int]]:
    """Each sentence's ids, cut to `max_tokens`, by the tokenizer's own library, on all cores; what
    transformers wraps around it takes as long again, on one."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        encoded = tokenizer(list(texts), truncation=True, max_length=max_tokens, return_attention_mask=False)
        return encoded["input_ids"]
    backend.no_padding()
    backend.enable_truncation(max_tokens, direction=tokenizer.truncation_side)
    with _all_cores():
        return [encoding.ids for encoding in backend.encode_batch_fast(list(texts))]


@contextmanager
def _all_cores() -> Iterator[None]:
    """Lets the tokenizers' library use its threads, which the command line switches off: elsewhere they are
    in the way of the processes that are forked beside them. It asks the environment at each call."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _join(files: Sequence[Path], folder: Path) -> None:
    """Writes `ids.npy` and `offsets.npy` of all parts."""
    ids, lengths = [], []
    for file in files:
        with np.load(file, allow_pickle=False) as part:
            ids.append(part["ids"])
            lengths.append(part["lengths"])
    np.save(folder / "ids.npy", np.concatenate(ids), allow_pickle=False)
    np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(np.concatenate(lengths))]), allow_pickle=False)
