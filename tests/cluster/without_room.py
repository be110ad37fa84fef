"""A worker that runs out of memory. It imports no transformers, so that four of them start in half of the time."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from dalr.cluster.train import _work
from dalr.config.schema import RunConfig
from dalr.distributed import barrier, rank


def work_without_room(task: dict[str, Any]) -> dict[str, Any]:
    """What a worker does, where memory does not suffice for worker 1 while worker 0 waits for it."""

    def train(config: RunConfig, out: Path, **options: Any) -> None:
        (out.parent / "started" / str(os.getpid())).touch()
        if rank() == 1:
            raise torch.OutOfMemoryError("no room")
        barrier()

    with mock.patch.dict(sys.modules, {"dalr.training.loop": SimpleNamespace(train=train)}):
        return _work(task)
