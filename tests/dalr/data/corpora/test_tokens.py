"""A tokenised corpus pads to what the tokenizer itself would give."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from dalr.data.corpora import tokens
from dalr.data.corpora.sources import Sentences
from dalr.data.corpora.tokens import tokenise
from dalr.model.loading import load_tokenizer
from tests.processes import run_workers

TEXTS = ("a dog", "the small cat plays in the park with two girls", "x", "a man runs")


def test_padding_agrees_with_the_tokenizer(tmp_path: Path, tiny_bert: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_bert))
    corpus = tokenise(Sentences(TEXTS), tokenizer, 8, tmp_path, quiet=True)
    rows = np.asarray([3, 1, 0])
    for length in (None, 8):
        ids, mask = corpus.padded(rows, length)
        padding = {"padding": True} if length is None else {"padding": "max_length"}
        expected = tokenizer(
            [TEXTS[row] for row in rows], truncation=True, max_length=8, return_tensors="pt", **padding
        )
        assert torch.equal(ids, expected["input_ids"])
        assert torch.equal(mask, expected["attention_mask"])
    ids, mask = corpus.padded(np.asarray([2, 0]))
    assert ids.shape == mask.shape == (2, 4)  # no longer than the longest of the batch


def test_tokenised_once_unless_damaged(tmp_path: Path, tiny_bert: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_bert))
    first = tokenise(Sentences(TEXTS), tokenizer, 8, tmp_path, quiet=True)
    written = (first.folder / "ids.npy").stat().st_mtime_ns
    assert tokenise(Sentences(TEXTS), tokenizer, 8, tmp_path, quiet=True).folder == first.folder
    assert (first.folder / "ids.npy").stat().st_mtime_ns == written
    good = (first.folder / "ids.npy").read_bytes()
    (first.folder / "ids.npy").write_bytes(good[:-2])
    tokenise(Sentences(TEXTS), tokenizer, 8, tmp_path, quiet=True)
    assert (first.folder / "ids.npy").read_bytes() == good
    others = [tokenise(Sentences(TEXTS), tokenizer, 9, tmp_path, quiet=True)]
    others.append(tokenise(Sentences(TEXTS[1:]), tokenizer, 8, tmp_path, quiet=True))
    assert len({first.key, *(other.key for other in others)}) == 3


@pytest.mark.medium
def test_workers_share_one_mapping_by_its_place(tmp_path: Path, tiny_bert: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_bert))
    corpus = tokenise(Sentences(TEXTS * 200), tokenizer, 8, tmp_path, quiet=True)
    assert isinstance(corpus.ids, np.memmap)
    assert not corpus.ids.flags.writeable
    travels = pickle.dumps(corpus)
    assert len(travels) < 300  # the place, not the ids
    # Another process sees the very file, mapped and not read into memory of its own.
    run_workers(_looks, travels, tmp_path / "seen", count=1)
    assert (tmp_path / "seen").read_text().split() == [str(int(corpus.ids.sum())), "True"]


def _looks(_: int, travels: bytes, seen: Path) -> None:
    corpus = pickle.loads(travels)
    ids = int(corpus.ids.sum())
    mapped = str(corpus.folder / "ids.npy") in Path("/proc/self/maps").read_text()
    seen.write_text(f"{ids} {mapped}")


def test_a_cut_off_tokenising_goes_on_to_the_same_ids(
    tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "PART", 3)
    tokenizer, corpus = load_tokenizer(str(tiny_bert)), Sentences(TEXTS * 4)
    whole = tokenise(corpus, tokenizer, 8, tmp_path / "whole", quiet=True)
    assert np.array_equal(
        whole.ids,
        np.concatenate([tokenizer(text, truncation=True, max_length=8)["input_ids"] for text in corpus.texts]),
    )
    computed: list[int] = []
    ids_of = tokens._ids_of

    def dies_at_the_fourth(texts: tuple[str, ...], *others: object) -> list[list[int]]:
        computed.append(len(texts))
        if len(computed) == 4:
            raise KeyboardInterrupt
        return ids_of(texts, *others)

    monkeypatch.setattr(tokens, "_ids_of", dies_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        tokenise(corpus, tokenizer, 8, tmp_path / "cut", quiet=True)
    (damaged,) = sorted((tmp_path / "cut").glob("tokenised-*.parts/*.npz"))[:1]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    again = tokenise(corpus, tokenizer, 8, tmp_path / "cut", quiet=True)
    assert len(computed) == 4 + 1 + 3  # the damaged part, and the three that were missing
    assert np.array_equal(again.ids, whole.ids)
    assert np.array_equal(again.offsets, whole.offsets)
    assert not list((tmp_path / "cut").glob("*.parts"))
