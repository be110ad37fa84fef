"""`consistency` against a plain loop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalr.losses import consistency
from tests.dalr.losses import oracles
from tests.dalr.losses.sampling import gradient_agrees, rotation, rows


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 12),
    margin=st.floats(-1, 1),
    shift=st.integers(0, 30),
)
def test_equals_the_loop(seed: int, size: int, margin: float, shift: int) -> None:
    a, b = rows(size, seed=seed), rows(size, seed=seed + 1)
    ours = consistency(a, b, margin=margin, shift=shift).item()
    assert ours == pytest.approx(oracles.consistency(a.numpy(), b.numpy(), margin=margin, shift=shift), abs=1e-12)


def test_defaults_are_the_published_margin_and_shift() -> None:
    a, b = rows(8), rows(8, seed=1)
    assert torch.equal(consistency(a, b), consistency(a, b, margin=0.2, shift=5))


@pytest.mark.parametrize("size", [2, 5])
def test_a_shift_of_whole_rounds_becomes_1(size: int) -> None:
    a, b = rows(size), rows(size, seed=1)
    assert torch.equal(consistency(a, b, shift=2 * size), consistency(a, b, shift=1))


def test_one_pair_has_its_match_alone() -> None:
    a = rows(1)
    assert consistency(a, 3 * a).item() == pytest.approx(0)
    assert consistency(a, -a).item() == pytest.approx(2)


def test_gradient() -> None:
    assert gradient_agrees(lambda a, b: consistency(a, b, margin=0.1), rows(6, seed=1), rows(6, seed=2))


def test_invariant_to_rotation_length_and_rolling_the_batch() -> None:
    a, b, turn = rows(7, seed=1), rows(7, seed=2), rotation(6)
    value = consistency(a, b)
    assert torch.allclose(consistency(2 * a @ turn, b @ turn), value)
    assert torch.allclose(consistency(a.roll(3, 0), b.roll(3, 0)), value)
