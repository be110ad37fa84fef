"""`info_nce` and `grounding_contrast` against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dalr.losses import grounding_contrast, info_nce
from dalr.losses.similarity import cosine
from tests.dalr.losses import oracles
from tests.dalr.losses.sampling import gradient_agrees, permutation, rotation, rows


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 7),
    temperature=st.floats(0.01, 2),
    margin=st.floats(0, 1.5),
)
def test_info_nce_equals_the_loop(seed: int, size: int, temperature: float, margin: float) -> None:
    z = rows(size, seed=seed)
    z2 = rows(size, seed=seed + 1, near=z)
    ours = info_nce(z, z2, temperature=temperature, margin=margin).item()
    assert ours == pytest.approx(oracles.info_nce(z.numpy(), z2.numpy(), temperature=temperature, margin=margin))


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 7),
    margin=st.floats(0, 1.5),
    excluded=st.floats(0, 1),
    softened=st.booleans(),
)
def test_grounding_contrast_equals_the_loop(
    seed: int, size: int, margin: float, excluded: float, softened: bool
) -> None:
    p, u = rows(size, seed=seed), rows(size, seed=seed + 1)
    sigma = cosine(u, u) if softened else None
    left_out = torch.rand(size, size, generator=torch.Generator().manual_seed(seed)) < excluded
    ours = grounding_contrast(p, u, temperature=0.07, margin=margin, similarity=sigma, excluded=left_out)
    expected = oracles.grounding_contrast(
        p.numpy(),
        u.numpy(),
        temperature=0.07,
        margin=margin,
        similarity=None if sigma is None else sigma.numpy(),
        excluded=left_out.numpy(),
    )
    assert ours.item() == pytest.approx(expected, abs=1e-9)


def test_gradients() -> None:
    z, z2 = rows(4, seed=1), rows(4, seed=2)
    sigma, left_out = cosine(z2, z2), torch.tensor(np.eye(4, k=1, dtype=bool))
    assert gradient_agrees(lambda a, b: info_nce(a, b, temperature=0.3, margin=0.2), z, z2)
    assert gradient_agrees(
        lambda a, b: grounding_contrast(a, b, temperature=0.3, margin=0.2, similarity=sigma, excluded=left_out), z, z2
    )


def test_invariant_to_permutation_rotation_and_length() -> None:
    z, z2, order, turn = rows(6, seed=1), rows(6, seed=2), permutation(6), rotation(6)
    value = info_nce(z, z2, temperature=0.05, margin=0.18)
    assert torch.allclose(info_nce(z[order], z2[order], temperature=0.05, margin=0.18), value)
    assert torch.allclose(info_nce(2 * z @ turn, 5 * z2 @ turn, temperature=0.05, margin=0.18), value)


def test_without_negatives_there_is_nothing_to_learn() -> None:
    z = rows(1).requires_grad_()
    value = info_nce(z, rows(1, seed=1), temperature=0.05, margin=0.18)
    value.backward()
    assert value.item() == 0
    assert z.grad is not None
    assert not z.grad.any()
    everyone = torch.ones(4, 4, dtype=torch.bool)
    assert grounding_contrast(rows(4), rows(4, seed=1), temperature=0.05, excluded=everyone).item() == 0


def test_an_excluded_negative_gets_no_gradient() -> None:
    p, u = rows(2, seed=1).requires_grad_(), rows(2, seed=2).requires_grad_()
    left_out = torch.tensor([[False, True], [False, False]])
    logits_of_first = grounding_contrast(p, u, temperature=0.1, excluded=left_out)
    logits_of_first.backward()
    assert p.grad is not None
    assert not p.grad[0].any()
    assert p.grad[1].any()


def test_a_margin_makes_the_task_harder() -> None:
    z, z2 = rows(6, seed=1), rows(6, seed=2)
    values = [info_nce(z, z2, temperature=0.05, margin=margin).item() for margin in (0.0, 0.1, 0.2, 0.3)]
    assert values == sorted(values)
    assert len(set(values)) == 4


def test_softening_is_a_constant() -> None:
    sigma = rows(3, 3).requires_grad_()
    grounding_contrast(
        rows(3).requires_grad_(), rows(3, seed=1), temperature=0.1, margin=0.2, similarity=sigma
    ).backward()
    assert sigma.grad is None
