"""How torch computes while a run trains: its settings are the process's, so they are set for the run and put back."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from dalr.config.schema import TrainConfig
from dalr.errors import Failed, InputError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
WORKSPACES = (":4096:8", ":16:8")
"""The values with which cuBLAS adds in one order (NVIDIA's cuBLAS documentation, "Results reproducibility")."""


@contextmanager
def arithmetic(train: TrainConfig, device: torch.device) -> Iterator[None]:
    """Inside, torch multiplies float32 matrices on CUDA as `train.matmul` says, and with `train.deterministic` uses
    operations alone that give the same bits each time. Afterwards all is as before, so that the next run of the
    process has its own.

    Raises:
        InputError: `CUBLAS_WORKSPACE_CONFIG` has a value with which cuBLAS may add in any order.
        Failed: inside, an operation has no deterministic kind.
    """
    # cuBLAS reads it at its first product. Set for every run: the process's next one may want it.
    workspace = os.environ.setdefault(WORKSPACE, WORKSPACES[0])
    if train.deterministic and workspace not in WORKSPACES:
        allowed = " or ".join(WORKSPACES)
        raise InputError(f"train.deterministic: {WORKSPACE} is {workspace}; set it to {allowed}, or leave it unset")
    matmul = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision(train.matmul)
    try:
        with _deterministic() if train.deterministic else nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)


@contextmanager
def _deterministic() -> Iterator[None]:
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark, cudnn_attention = torch.backends.cudnn.benchmark, torch.backends.cuda.cudnn_sdp_enabled()
    memory: Any = torch.utils.deterministic  # its type lacks the setting
    fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    # Flash and memory-efficient attention add in one order when they are asked to; cuDNN's cannot.
    torch.backends.cuda.enable_cudnn_sdp(False)
    # A kernel for each new tensor, against reading what nobody wrote: nothing here does.
    memory.fill_uninitialized_memory = False
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        operation = str(error).split(" does not have")[0]
        raise Failed(
            f"train.deterministic: {operation} adds in no fixed order on this device; set it to false"
        ) from error
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cuda.enable_cudnn_sdp(cudnn_attention)
        memory.fill_uninitialized_memory = fill
