"""Gradients that travel while the backward pass goes on, against gradients that travel after it.

Two workers, one thread each, and a link between them that is as slow as the backward pass is long. The student has
the proportions of BERT-base: a fifth of its weights are word vectors, whose gradient comes last. A batch is encoded in
one group, as on a GPU: with more, a gradient is complete when the last group has added its part.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import BertConfig, BertModel, BertTokenizerFast

from dalr.config.overrides import to_yaml
from tests.benchmarks.overlap_workers import worker
from tests.processes import run_workers
from tests.small_run import small_config, write_corpora
from tests.tiny import WORDS, write_tiny_bert

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

RATIO = 1.2
VOCABULARY = 6600


def write_student(folder: Path) -> Path:
    """8 layers of 256 drawn at random; the tokenizer has words enough that no sentence has."""
    write_tiny_bert(folder)
    words = (folder / "vocab.txt").read_text().split()
    words += [f"word{number}" for number in range(VOCABULARY - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    shape = {"hidden_size": 256, "num_hidden_layers": 8, "num_attention_heads": 4, "intermediate_size": 1024}
    BertModel(BertConfig(vocab_size=VOCABULARY, **shape)).save_pretrained(folder)
    return folder


def test_the_link_works_while_the_backward_pass_does(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    write_corpora(tmp_path, random)
    sentences = [" ".join(random.choice(WORDS, size=14)) for _ in range(512)]
    (tmp_path / "sentences.txt").write_text("\n".join(sentences) + "\n")
    student = write_student(tmp_path / "student")
    changes = {
        "train__batch_size": 64,
        "train__steps": 100,
        "train__length_groups": 1,
        "data__pair_every": None,
        "objective__intra_modal": 0.0,
    }
    config = small_config(tmp_path, student, **changes, teachers__text=[], objective__cross_modal=0.0)
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    run_workers(worker, str(tmp_path), count=2)
    answers = json.loads((tmp_path / "answers.json").read_text())
    at_once, buckets = answers["seconds"]["at once"], answers["seconds"]["buckets"]
    print(
        f"\nbackward {answers['backward']:.3f} s, {answers['bytes'] / 1e6:.0f} MB in {answers['buckets']} buckets: "
        f"{buckets:.3f} s a step against {at_once:.3f} s, {at_once / buckets:.2f}x"
    )
    ours, theirs = answers["ideal"]
    print(f"by the processor's own time, were it alone: {ours:.3f} s against {theirs:.3f} s, {theirs / ours:.2f}x")
    assert answers["equal"]
    assert at_once >= RATIO * buckets
