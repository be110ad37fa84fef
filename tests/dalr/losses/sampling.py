"""Random matrices in float64 and the checks that every term passes."""

from collections.abc import Callable

import torch
from torch import Tensor


def rows(size: int, width: int = 6, *, seed: int = 0, near: Tensor | None = None, noise: float = 0.3) -> Tensor:
    """Random float64 rows of unequal lengths; with `near`, that matrix plus noise."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(size, width, generator=generator, dtype=torch.float64)
    return drawn * 2.5 if near is None else near + noise * drawn


def rotation(width: int, *, seed: int = 0) -> Tensor:
    """A random orthogonal matrix."""
    return torch.linalg.qr(rows(width, width, seed=seed))[0]


def permutation(size: int, *, seed: int = 0) -> Tensor:
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def finite_with_gradient(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """The value, after asserting that it and every input's gradient are finite."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    value = function(*leaves)
    assert torch.isfinite(value), value
    value.backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all(), leaf.grad
    return value.detach()


def gradient_agrees(function: Callable[..., Tensor], *inputs: Tensor) -> bool:
    """Whether autograd agrees with finite differences, in float64."""
    return torch.autograd.gradcheck(function, [tensor.clone().requires_grad_() for tensor in inputs])
