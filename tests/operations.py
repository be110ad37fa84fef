"""Counts what torch is asked to do: operations that are kernels on a GPU, and those that wait for it."""

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = frozenset(
    f"aten.{name}"
    for name in (
        "_local_scalar_dense is_nonzero equal nonzero masked_select unique_dim _unique2 unique_consecutive "
        "bincount histc repeat_interleave _assert_async"
    ).split()
)
"""Operations whose result, or its shape, the host must have before it goes on."""


class Operations(TorchDispatchMode):
    """While entered, counts `kernels` (operations that are no views) and `waits` (those that synchronise), by name."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func.overloadpacket)
        if name in WAITING or (name in ("aten.index", "aten.index_put", "aten.index_put_") and _has_booleans(args[1])):
            self.waits[name] += 1
        if not func.is_view and name not in ("aten.detach", "aten._unsafe_view", "aten.empty"):
            self.kernels[name] += 1
        return func(*args, **(kwargs or {}))


def _has_booleans(indices: Any) -> bool:
    return any(isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)
