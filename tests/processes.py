"""Processes that have torch and the training loop imported before they start: forked from one server."""

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch.multiprocessing

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "tests.faults.inject",
        "tests.dalr.distributed_workers",
        "tests.dalr.training.gradient_workers",
        "tests.dalr.training.validation_workers",
        "dalr.cluster.api.training",
        "dalr.cluster.commands.train",
        "dalr.training.loop",
    ]
)


def run_workers(work: Callable[..., None], *args: Any, count: int) -> None:
    """Calls `work(rank, *args)` in `count` processes at once and waits; raises what one of them raises."""
    torch.multiprocessing.start_processes(work, args=args, nprocs=count, start_method="forkserver")
