"""An epoch gives every caption once, or one caption of each image; no image is twice in a batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalr.config.schema import DataConfig
from dalr.data.pairing import PairOrder, caption_pairs, image_pairs
from dalr.data.schedule import Schedule, batches_of_pairs, schedule_of


def captions(counts: list[int]) -> np.ndarray:
    """Images with these many captions each, the captions in no order."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


def batches(pairs: PairOrder, epoch: int, seed: int = 1) -> list[np.ndarray]:
    order = pairs.order([seed, 1, epoch])
    return [order[start:end] for start, end in zip(pairs.starts[:-1], pairs.starts[1:], strict=True)]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=40), st.integers(1, 50), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_every_caption_comes_once_and_no_batch_has_an_image_twice(
    counts: list[int], batch_size: int, epoch: int
) -> None:
    images = captions(counts)
    number = batches_of_pairs(len(images), max(counts), batch_size)
    made = batches(caption_pairs(images, batch_size, number), epoch)
    assert sorted(np.concatenate(made).tolist()) == list(range(len(images)))
    assert all(0 < len(batch) <= batch_size for batch in made)
    for batch in made:
        assert len(set(images[batch].tolist())) == len(batch)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=40), st.integers(1, 50))
@settings(deadline=None)
def test_one_caption_of_each_image(counts: list[int], batch_size: int) -> None:
    images = captions(counts)
    made = batches(image_pairs(images, batch_size, -(-len(counts) // batch_size)), 0)
    assert sorted(images[np.concatenate(made)].tolist()) == list(range(len(counts)))
    assert all(len(batch) == batch_size for batch in made[:-1])


def test_full_batches_are_as_large_as_asked_and_the_last_has_what_is_left() -> None:
    images = np.repeat(np.arange(290), 5)
    number = batches_of_pairs(1450, 5, 128)
    made = batches(caption_pairs(images, 128, number), 0)
    assert [len(batch) for batch in made] == [128] * 11 + [42]


def test_epochs_and_seeds_differ_and_the_same_ones_agree() -> None:
    pairs = caption_pairs(np.repeat(np.arange(40), 5), 16, 13)
    orders = [pairs.order([seed, 1, epoch]).tolist() for seed in (1, 2) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert pairs.order([1, 1, 0]).tolist() == orders[0]


def test_who_meets_whom_is_left_to_chance() -> None:
    """Over many epochs two given images share a batch about as often as in plain shuffling."""
    images, size = np.repeat(np.arange(60), 5), 20
    pairs = caption_pairs(images, size, 15)
    met = np.zeros((60, 60))
    for epoch in range(120):
        for batch in batches(pairs, epoch):
            inside = images[batch]
            met[np.ix_(inside, inside)] += 1
    others = met[~np.eye(60, dtype=bool)] / (120 * 15)
    expected = 5 / 15 * (size - 1) / 59  # of an image's 5 batches, those that hold another given image, of all 15
    assert abs(others.mean() - expected) < 0.002
    assert others.std() < 3 * np.sqrt(expected / (120 * 15))


CASES = [
    # pairs, unit's batches, every, steps an epoch, paired, text: as the authors' loop counts them
    ("caption", 29_000 * 5, 1133, 6, 8946, 1491, 7455),
    ("caption", 31_014 * 5, 1212, 6, 9025, 1505, 7520),
    ("caption", 113_287 * 5, 4426, 1, 12_239, 12_239, 0),
    ("image", 29_000, 227, 34, 8040, 237, 7803),
    ("image", 31_014, 243, 32, 8056, 252, 7804),
    ("image", 113_287, 886, 8, 8699, 1088, 7611),
]


@pytest.mark.parametrize(("unit", "pairs", "paired_batches", "every", "steps", "paired", "text"), CASES)
def test_the_authors_numbers_of_steps(
    unit: str, pairs: int, paired_batches: int, every: int, steps: int, paired: int, text: int
) -> None:
    """One million sentences, batch 128. The authors' loop: `every = len(text loader) // len(pair loader)`, an epoch
    has len(text loader) + len(pair loader) steps, step s of it is paired where s % every == 0."""
    data = DataConfig(text="t", captions="c", pairs=unit)  # type: ignore[arg-type]
    most = 5 if unit == "caption" else 1
    schedule = schedule_of(data, sentences=1_000_000, pairs=pairs, most_of_an_image=most, batch_size=128)
    assert schedule == Schedule(7813, paired_batches, every, whole_epochs=True)
    loader = range(schedule.text_batches + schedule.paired_batches)
    theirs = [step % (schedule.text_batches // schedule.paired_batches) == 0 for step in loader]
    assert (len(theirs), sum(theirs), len(theirs) - sum(theirs)) == (steps, paired, text)
    ours = [schedule.is_paired(step) for step in range(schedule.steps_per_epoch)]
    assert ours == theirs
