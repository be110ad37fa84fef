"""`local_global` against a plain loop."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dalr.losses import local_global
from tests.dalr.losses import oracles
from tests.dalr.losses.sampling import gradient_agrees, permutation, rotation, rows


def sample(size: int, length: int, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Sentences, tokens and a mask of unequal lengths, every sentence with a token."""
    lengths = torch.randint(1, length + 1, (size,), generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(length) < lengths[:, None]
    return rows(size, seed=seed) / 5, rows(size * length, seed=seed + 1).view(size, length, 6) / 2, mask


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 5),
    length=st.integers(1, 5),
    temperature=st.floats(0.02, 2),
)
def test_equals_the_loop(seed: int, size: int, length: int, temperature: float) -> None:
    z, tokens, mask = sample(size, length, seed=seed)
    if size == 1:
        assert local_global(z, tokens, mask, temperature=temperature).item() == 0
    expected = oracles.local_global(z.numpy(), tokens.numpy(), mask.numpy(), temperature=temperature)
    assert local_global(z, tokens, mask, temperature=temperature).item() == pytest.approx(expected, abs=1e-8)


def test_masked_tokens_count_nowhere() -> None:
    z, tokens, mask = sample(4, 5)
    assert not mask.all()
    elsewhere = torch.where(mask[..., None], tokens, 1e3)
    assert torch.equal(
        local_global(z, elsewhere, mask, temperature=0.1), local_global(z, tokens, mask, temperature=0.1)
    )


def test_own_other_tokens_are_in_neither_place() -> None:
    z, tokens, _ = sample(2, 2, seed=3)
    z[1] = 0  # sentence 1 then costs log(1 + n) with n negatives
    tokens[0, 1] = tokens[0, 0]
    both, one = torch.tensor([[True, True], [True, True]]), torch.tensor([[True, False], [True, True]])
    losses = [
        2 * local_global(z, tokens, mask, temperature=0.3).item() - math.log(1 + n) for mask, n in ((both, 2), (one, 1))
    ]
    assert losses[0] == pytest.approx(losses[1])


def test_without_negatives_or_tokens_it_costs_nothing() -> None:
    z, tokens, _ = sample(2, 3)
    nobody = torch.tensor([[True] * 3, [False] * 3])
    value = local_global(z.requires_grad_(), tokens, nobody, temperature=0.1)
    value.backward()
    assert value.item() == 0
    assert z.grad is not None
    assert not z.grad.any()


def test_two_equal_sentences_cost_log_2() -> None:
    tokens = rows(1).expand(2, 1, 6)
    value = local_global(rows(2), tokens, torch.ones(2, 1), temperature=0.5)
    assert value.item() == pytest.approx(math.log(2))


def test_gradient() -> None:
    z, tokens, mask = sample(3, 3, seed=5)
    assert gradient_agrees(lambda a, b: local_global(a, b, mask, temperature=0.5), z, tokens)


def test_invariant_to_permutation_rotation_and_padding() -> None:
    z, tokens, mask = sample(5, 4)
    value, order, turn = local_global(z, tokens, mask, temperature=0.1), permutation(5), rotation(6)
    assert torch.allclose(local_global(z[order], tokens[order], mask[order], temperature=0.1), value)
    assert torch.allclose(local_global(z @ turn, tokens @ turn, mask, temperature=0.1), value)
    longer = torch.cat([tokens, rows(15).view(5, 3, 6)], 1)
    padded = torch.cat([mask, torch.zeros(5, 3, dtype=torch.bool)], 1)
    assert torch.allclose(local_global(z, longer, padded, temperature=0.1), value)
