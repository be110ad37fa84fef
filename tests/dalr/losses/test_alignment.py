"""`soft_alignment` against a plain loop, and its limits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from dalr.losses import soft_alignment
from tests.dalr.losses import oracles
from tests.dalr.losses.sampling import gradient_agrees, permutation, rows


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 7),
    temperature=st.floats(0.05, 2),
    target_temperature=st.floats(0.05, 2),
    softening=st.floats(0, 1),
)
def test_equals_the_loop(seed: int, size: int, temperature: float, target_temperature: float, softening: float) -> None:
    logits, target = rows(size, size, seed=seed), rows(size, size, seed=seed + 1)
    keywords = {"temperature": temperature, "target_temperature": target_temperature, "softening": softening}
    expected = oracles.soft_alignment(logits.numpy(), target.numpy(), **keywords)
    assert soft_alignment(logits, target, **keywords).item() == pytest.approx(expected, abs=1e-10)


def test_softening_0_is_the_cross_entropy_with_the_diagonal() -> None:
    logits, target = rows(6), rows(6, seed=1)
    hard = soft_alignment(logits, target, temperature=0.45, target_temperature=0.5, softening=0.0)
    assert torch.allclose(hard, F.cross_entropy(logits / 0.45, torch.arange(6)))


def test_softening_1_is_the_default_and_0_loss_where_the_student_agrees() -> None:
    target = rows(6)
    value = soft_alignment(target / 0.5, target, temperature=1.0, target_temperature=0.5)
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert torch.equal(
        value, soft_alignment(target / 0.5, target, temperature=1.0, target_temperature=0.5, softening=1)
    )


@pytest.mark.parametrize("softening", [0.0, 0.4, 1.0])
def test_gradient(softening: float) -> None:
    target = rows(5, 5, seed=1)
    assert gradient_agrees(
        lambda x: soft_alignment(x, target, temperature=0.45, target_temperature=0.5, softening=softening), rows(5, 5)
    )


def test_the_target_is_a_constant() -> None:
    target = rows(4, 4).requires_grad_()
    soft_alignment(rows(4, 4).requires_grad_(), target, temperature=1, target_temperature=1).backward()
    assert target.grad is None


def test_invariant_to_permutation() -> None:
    logits, target, order = rows(6), rows(6, seed=1), permutation(6)
    keywords = {"temperature": 0.45, "target_temperature": 0.5, "softening": 0.7}
    permuted = soft_alignment(logits[order][:, order], target[order][:, order], **keywords)
    assert torch.allclose(permuted, soft_alignment(logits, target, **keywords))


def test_one_row_costs_nothing() -> None:
    assert soft_alignment(rows(1, 1), rows(1, 1), temperature=0.1, target_temperature=0.1, softening=0.5).item() == 0
