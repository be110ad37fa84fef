"""Batches are a pure function of seed and step; each stream passes through its corpus, epoch by epoch."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from dalr.config.schema import DataConfig, TrainConfig
from dalr.data.batches import PairedBatch, TextBatch
from dalr.data.features.prepare import Features, prepare_features
from dalr.data.mixing import MixedBatches
from dalr.data.schedule import Schedule, schedule_of
from dalr.errors import InputError
from tests.dalr.data.corpus import CAPTIONS_EACH, IMAGES, SENTENCES, WIDTH, tiny_config, write_corpus

QUIET = {"objective__intra_modal": 0.0}
"""No teacher terms, so nothing is extracted."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def batches(corpus: Path, model: Path, **overrides: object) -> MixedBatches:
    overrides = {"objective__weights__cross_alignment": 0.0, **QUIET, **overrides}
    config = tiny_config(corpus, model, **overrides)
    return MixedBatches(config, prepare_features(config, quiet=True))


def images_of(features: Features, batch: TextBatch) -> list[int]:
    assert features.captions is not None
    return features.captions.image_of_caption[batch.rows.numpy()].tolist()


@pytest.mark.parametrize("every", [None, 1, 2, 3, 5])
def test_positions_count_each_streams_own_steps(every: int | None) -> None:
    schedule = Schedule(text_batches=7, paired_batches=3, every=every)
    seen = {True: 0, False: 0}
    for step in range(40):
        paired = schedule.is_paired(step)
        assert paired == (every is not None and step % every == 0)
        assert schedule.position(step) == seen[paired]
        seen[paired] += 1


def test_lengths_of_epochs_and_runs() -> None:
    data = DataConfig(captions="c", text="t", pair_every="auto")
    mixed = schedule_of(data, sentences=1000, pairs=150, batch_size=64)
    assert mixed == Schedule(text_batches=16, paired_batches=3, every=5, whole_epochs=True)
    assert mixed.steps_per_epoch == 19
    assert mixed.total_steps(TrainConfig(epochs=4)) == 76
    assert mixed.total_steps(TrainConfig(steps=10)) == 10
    few = schedule_of(data, sentences=10, pairs=150, batch_size=64)
    assert (few.every, few.steps_per_epoch) == (1, 4)  # every step is paired, the sentences lengthen the epoch
    alone = schedule_of(DataConfig(text="t", pair_every=None), sentences=1000, pairs=0, batch_size=64)
    assert alone.steps_per_epoch == 16
    with pytest.raises(InputError, match=r"data\.text is not set"):
        schedule_of(DataConfig(captions="c", pair_every=2), sentences=0, pairs=5, batch_size=2)
    with pytest.raises(InputError, match=r"data\.captions is not set"):
        schedule_of(DataConfig(text="t"), sentences=9, pairs=0, batch_size=2)


def test_each_epoch_sees_every_image_once_and_every_sentence_once(corpus: Path, tiny_bert: Path) -> None:
    mixed = batches(corpus, tiny_bert, data__pair_every=2)
    assert (mixed.schedule.text_batches, mixed.schedule.paired_batches) == (12, 3)
    paired = [mixed.batch(2 * i) for i in range(9)]
    text = [mixed.batch(2 * i + 1) for i in range(24)]
    assert all(isinstance(batch, PairedBatch) for batch in paired)
    assert not any(isinstance(batch, PairedBatch) for batch in text)
    assert [len(batch) for batch in paired[:3]] == [4, 4, 2]  # the last, partial batch is kept
    orders = []
    for epoch in range(3):
        seen = [image for batch in paired[3 * epoch : 3 * epoch + 3] for image in images_of(mixed.features, batch)]
        assert sorted(seen) == list(range(IMAGES))
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]
    for epoch in range(2):
        rows = torch.cat([batch.rows for batch in text[12 * epoch : 12 * epoch + 12]])
        assert sorted(rows.tolist()) == list(range(SENTENCES))


def test_captions_are_drawn_anew_each_epoch(corpus: Path, tiny_bert: Path) -> None:
    mixed = batches(corpus, tiny_bert, data__pair_every=1)
    drawn = np.zeros(IMAGES * CAPTIONS_EACH)
    for step in range(3 * 60):
        drawn[mixed.batch(step).rows.numpy()] += 1
    assert drawn.reshape(IMAGES, CAPTIONS_EACH).sum(1).tolist() == [60] * IMAGES
    assert drawn.min() > 5  # each about 20 times


def test_a_batch_depends_on_seed_and_step_alone(corpus: Path, tiny_bert: Path) -> None:
    forward = batches(corpus, tiny_bert, data__pair_every=2)
    backward = batches(corpus, tiny_bert, data__pair_every=2)
    other = batches(corpus, tiny_bert, data__pair_every=2, train__seed=2)
    there = [forward.batch(step) for step in range(40)]
    back = [backward.batch(step) for step in reversed(range(40))][::-1]
    for one, two in zip(there, back, strict=True):
        assert torch.equal(one.rows, two.rows)
        assert torch.equal(one.input_ids, two.input_ids)
    assert any(not torch.equal(one.rows, other.batch(step).rows) for step, one in enumerate(there))


@pytest.mark.parametrize("threads", [2, 5])
def test_any_number_of_threads_reads_the_same_batches(threads: int, corpus: Path, tiny_bert: Path) -> None:
    one, many = (batches(corpus, tiny_bert, data__pair_every=2) for _ in range(2))
    steps = np.random.default_rng(0).permutation(np.repeat(np.arange(60), 3)).tolist()
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(many.batch, steps))
    for step, batch in zip(steps, found, strict=True):
        expected = one.batch(step)
        assert torch.equal(batch.rows, expected.rows)
        assert torch.equal(batch.input_ids, expected.input_ids)
        assert torch.equal(batch.attention_mask, expected.attention_mask)


def test_contents_belong_to_the_rows(corpus: Path, tiny_bert: Path) -> None:
    np.save(corpus / "caption_features.npy", np.arange(IMAGES * CAPTIONS_EACH * 2, dtype=np.float32).reshape(-1, 2))
    config = tiny_config(
        corpus,
        tiny_bert,
        objective__weights__grounding_text=1.0,
        data__caption_features=str(corpus / "caption_features.npy"),
        data__pair_every=2,
        objective__on_text=["rank"],
    )
    features = prepare_features(config, quiet=True)
    mixed = MixedBatches(config, features)
    batch = mixed.batch(2)
    assert isinstance(batch, PairedBatch)
    assert features.captions is not None
    assert features.images is not None
    assert batch.images is not None
    assert batch.captions is not None
    assert batch.images.dtype == batch.captions.dtype == batch.teachers.sentences[0].dtype == torch.float32
    assert batch.images.shape == (4, WIDTH)
    expected = features.images.rows(np.asarray(images_of(features, batch))).astype(np.float32)
    assert batch.images.numpy().tolist() == expected.tolist()
    assert batch.captions[:, 0].tolist() == (2 * batch.rows).tolist()
    vectors = features.sentence_vectors["captions"][0].rows(batch.rows.numpy())
    assert torch.equal(batch.teachers.sentences[0], torch.from_numpy(vectors).float())
    from dalr.model.loading import load_tokenizer

    tokenizer = load_tokenizer(str(tiny_bert))
    texts = [features.captions.captions[row] for row in batch.rows]
    tokens = tokenizer(texts, truncation=True, max_length=12, padding=True, return_tensors="pt")
    assert torch.equal(batch.input_ids, tokens["input_ids"])
    text = mixed.batch(1)
    assert len(text.teachers.sentences) == 1
    assert text.teachers.tokens is None


def test_a_batch_is_made_in_milliseconds(corpus: Path, tiny_bert: Path) -> None:
    mixed = batches(corpus, tiny_bert, data__pair_every=2)
    mixed.batch(0), mixed.batch(1)
    began = time.process_time()
    for step in range(100):
        mixed.batch(step)
    assert time.process_time() - began < 0.5
