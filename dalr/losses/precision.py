"""Losses are computed in float32 at least, whatever surrounds them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


def widen(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 as float32; every other dtype as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Inside, float32 is float32: no autocast, and on CUDA no TF32."""
    before = torch.get_float32_matmul_precision()
    try:
        if device.type == "cuda":
            torch.set_float32_matmul_precision("highest")
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        if device.type == "cuda":
            torch.set_float32_matmul_precision(before)


def in_full_precision(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """`function` outside autocast, its half-precision tensors widened.

    A bfloat16 cosine has 8 bits: divided by a temperature of 0.05 it moves a logit by 0.08, and
    arccos has no finite slope left beside ±1.
    """

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        device = next(arg.device.type for arg in (*args, *kwargs.values()) if isinstance(arg, Tensor))
        wide = [widen(arg) if isinstance(arg, Tensor) else arg for arg in args]
        wide_named = {name: widen(arg) if isinstance(arg, Tensor) else arg for name, arg in kwargs.items()}
        with torch.autocast(device, enabled=False):
            return function(*wide, **wide_named)  # type: ignore[arg-type]

    return wrapped
