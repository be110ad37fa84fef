"""Cosines and the angular margin against plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalr.losses.similarity import angular_margin, cosine, unit
from tests.dalr.losses import oracles
from tests.dalr.losses.sampling import gradient_agrees, rotation, rows


def test_cosine_equals_the_loop_for_rows_of_any_length_and_number() -> None:
    a, b = rows(4, seed=1), rows(7, seed=2) * 1e-3
    assert np.allclose(cosine(a, b), oracles.cosine(a.numpy(), b.numpy()))


def test_cosine_is_invariant_to_rotation_and_scale() -> None:
    a, b, turn = rows(5, seed=1), rows(5, seed=2), rotation(6)
    assert torch.allclose(cosine(a @ turn, 3 * b @ turn), cosine(a, b))


def test_a_zero_row_has_cosine_0_and_passes_gradients_on_unmagnified() -> None:
    a = torch.zeros(1, 3, requires_grad=True)
    similarity = cosine(a, torch.tensor([[0.0, 2.0, 0.0]]))
    similarity.sum().backward()
    assert similarity.item() == 0
    assert a.grad is not None
    assert a.grad.tolist() == [[0, 1, 0]]


def test_unit_normalises_along_the_named_dimension() -> None:
    assert torch.allclose(unit(rows(4), dim=0).norm(dim=0), torch.ones(6, dtype=torch.float64))


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 6),
    margin=st.floats(0, math.pi / 2),
    softened=st.booleans(),
)
def test_margin_equals_the_loop(seed: int, size: int, margin: float, softened: bool) -> None:
    a = rows(size, 3, seed=seed)
    s = cosine(a, rows(size, 3, seed=seed + 1, near=a))
    sigma = cosine(rows(size, 2, seed=seed + 2), rows(size, 2, seed=seed + 2)) if softened else None
    expected = oracles.angular_margin(s.numpy(), margin, None if sigma is None else sigma.numpy())
    assert np.allclose(angular_margin(s, margin, sigma), expected, atol=1e-7)


def test_threshold_is_the_unsoftened_margin() -> None:
    angles = torch.tensor([[0.0, 0.19], [0.17, 0.0]], dtype=torch.float64)
    sigma = torch.full((2, 2), 0.9, dtype=torch.float64)  # the softened margin is 0.018
    shifted = angular_margin(angles.cos(), 0.18, sigma).arccos()
    assert shifted[0, 1].item() == pytest.approx(0.19 - 0.018)
    assert shifted[1, 0].item() == pytest.approx(0.17)


def test_the_diagonal_is_left_alone() -> None:
    s = -torch.ones(3, 3, dtype=torch.float64)
    assert angular_margin(s, 0.3).diagonal().tolist() == [-1, -1, -1]


@given(margin=st.floats(0.01, 1.5))
def test_negatives_move_closer_and_none_moves_at_full_similarity(margin: float) -> None:
    s = cosine(rows(5, seed=1), rows(5, seed=2))
    assert (angular_margin(s, margin) >= s - 1e-12).all()
    assert torch.allclose(angular_margin(s, margin, torch.ones_like(s)), s)
    assert torch.equal(angular_margin(s, 0.0), s)


def test_margin_gradient() -> None:
    a, b = rows(4, seed=1), rows(4, seed=2)
    sigma = cosine(b, b)
    assert gradient_agrees(lambda x, y: angular_margin(cosine(x, y), 0.3, sigma), a, b)
