"""`jensen_shannon` against a plain loop and SciPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from dalr.losses import jensen_shannon
from tests.dalr.losses import oracles
from tests.dalr.losses.sampling import gradient_agrees, permutation, rows


@given(seed=st.integers(0, 1000), size=st.integers(1, 6), width=st.integers(1, 6), scale=st.floats(0.01, 20))
def test_equals_the_loop(seed: int, size: int, width: int, scale: float) -> None:
    p, q = rows(size, width, seed=seed) * scale, rows(size, width, seed=seed + 1) * scale
    ours = jensen_shannon(p, q).item()
    assert ours == pytest.approx(oracles.jensen_shannon(p.numpy(), q.numpy()), abs=1e-8)


def test_equals_scipy() -> None:
    p, q = rows(5, seed=1), rows(5, seed=2)
    distances = jensenshannon(torch.softmax(p, 1).numpy(), torch.softmax(q, 1).numpy(), axis=1)
    assert jensen_shannon(p, q).item() == pytest.approx(np.mean(distances**2))


def test_bounds_and_symmetry() -> None:
    p, q = rows(5, seed=1), rows(5, seed=2)
    assert jensen_shannon(p.float(), p.float()).item() == 0
    assert torch.allclose(jensen_shannon(p, q), jensen_shannon(q, p))
    apart = torch.tensor([[0.0, 200.0]])
    assert jensen_shannon(apart, apart.flip(1)).item() == pytest.approx(math.log(2))


def test_gradient() -> None:
    assert gradient_agrees(jensen_shannon, rows(4, seed=1), rows(4, seed=2))


def test_invariant_to_permutation_of_rows_and_columns() -> None:
    p, q, order = rows(6, seed=1), rows(6, seed=2), permutation(6)
    assert torch.allclose(jensen_shannon(p[order][:, order], q[order][:, order]), jensen_shannon(p, q))
