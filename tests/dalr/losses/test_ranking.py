"""`listmle` and `listnet` against plain loops."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dalr.losses import listmle, listnet
from tests.dalr.losses import oracles
from tests.dalr.losses.sampling import gradient_agrees, permutation, rows


@given(seed=st.integers(0, 1000), size=st.integers(1, 8), scale=st.floats(0.1, 40), levels=st.integers(1, 50))
def test_listmle_equals_the_loop_with_and_without_ties(seed: int, size: int, scale: float, levels: int) -> None:
    scores, target = rows(size, size, seed=seed) * scale, rows(size, size, seed=seed + 1)
    target = (target * levels / 10).round()
    ours = listmle(scores, target).item()
    assert ours == pytest.approx(oracles.listmle(scores.numpy(), target.numpy()), abs=1e-9)


@given(seed=st.integers(0, 1000), size=st.integers(1, 8), scale=st.floats(0.1, 10))
def test_listnet_equals_the_loop(seed: int, size: int, scale: float) -> None:
    scores, target = rows(size, size, seed=seed) * scale, rows(size, size, seed=seed + 1)
    ours = listnet(scores, target).item()
    assert ours == pytest.approx(oracles.listnet(scores.numpy(), target.numpy()), abs=1e-9)


def test_ties_are_broken_by_index() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0]], dtype=torch.float64)
    tied, falling = torch.zeros(1, 3), torch.tensor([[3.0, 2.0, 1.0]])
    assert torch.equal(listmle(scores, tied), listmle(scores, falling))


def test_ties_are_broken_by_index_in_long_lists_too() -> None:
    scores = torch.linspace(0, 5, 600, dtype=torch.float64)[None]
    assert torch.equal(listmle(scores, torch.zeros(1, 600)), listmle(scores, -torch.arange(600.0)[None]))


def test_listmle_has_no_epsilon() -> None:
    scores = torch.tensor([[0.0, -20.0]], dtype=torch.float64)  # 1e-7 inside the logarithm would add 3.9
    assert listmle(scores, scores).item() == pytest.approx(math.log1p(math.exp(-20)))
    assert listmle(scores, -scores).item() == pytest.approx(20)


def test_listmle_counts_the_order_alone_and_listnet_the_values() -> None:
    scores, target = rows(5, 5), rows(5, 5, seed=1)
    assert torch.equal(listmle(scores, target), listmle(scores, target.exp() * 7))
    assert not torch.allclose(listnet(scores, target), listnet(scores, target * 7))


def test_listnet_leaves_the_diagonal_out_and_listmle_does_not() -> None:
    scores, target = rows(5, 5), rows(5, 5, seed=1)
    moved = scores + 3 * torch.eye(5)
    assert torch.allclose(listnet(moved, target + 9 * torch.eye(5)), listnet(scores, target))
    assert not torch.allclose(listmle(moved, target), listmle(scores, target))


def test_listnet_is_the_targets_entropy_where_the_student_agrees() -> None:
    target = rows(5, 5)
    p = torch.softmax(target.masked_fill(torch.eye(5, dtype=torch.bool), -torch.inf), 1)
    assert listnet(target, target).item() == pytest.approx(torch.special.entr(p).sum(1).mean().item())


def test_gradients() -> None:
    target = rows(5, 5, seed=1)
    assert gradient_agrees(lambda x: listmle(x, target), rows(5, 5))
    assert gradient_agrees(lambda x: listnet(x, target), rows(5, 5))


def test_invariant_to_permutation_and_to_adding_a_constant() -> None:
    scores, target, order = rows(6), rows(6, seed=1), permutation(6)
    for loss in (listmle, listnet):
        value = loss(scores, target)
        assert torch.allclose(loss(scores[order][:, order], target[order][:, order]), value)
        assert torch.allclose(loss(scores + 11, target), value)


@pytest.mark.parametrize("loss", [listmle, listnet])
def test_one_row_costs_nothing_and_has_a_gradient_of_0(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    scores = rows(1, 1).requires_grad_()
    value = loss(scores, rows(1, 1))
    value.backward()
    assert value.item() == 0
    assert scores.grad is not None
    assert scores.grad.item() == 0
