"""What the processes of `test_patience` run: a training whose slow parts take longer than a collective may."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist

from dalr.config.overrides import validated
from dalr.distributed import rank
from dalr.training import loop
from dalr.training.callbacks import Callback
from dalr.training.trainer import Run

TIMEOUT = 3.0
SLOW = 8.0
prepare_features, finish = loop.prepare_features, Run.finish


def slowly(*words: Any, **options: Any) -> Any:
    """`prepare_features`, which takes worker 0 longer than the group's timeout."""
    if rank() == 0:
        time.sleep(SLOW)
    return prepare_features(*words, **options)


def finish_alone(run: Run) -> None:
    """`Run.finish`, begun when worker 1 has left the run."""
    deadline = time.monotonic() + 120
    while not (run.folder.path.parent / "1.left").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("worker 1 waits for the final evaluation")
        time.sleep(0.05)
    finish(run)


class SlowUpload(Callback):
    """Takes the first checkpoint elsewhere, while training goes on, for longer than the group's timeout."""

    def on_checkpoint(self, step: int) -> None:
        if step == 1:
            time.sleep(SLOW)


def worker(number: int, config: str, folder: str) -> None:
    """One process of two: trains with slow features, uploads and final evaluation, and notes that it came back."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=number, world_size=2, timeout=timedelta(seconds=TIMEOUT))
    with mock.patch.object(loop, "prepare_features", slowly), mock.patch.object(Run, "finish", finish_alone):
        outcome = loop.train(validated(json.loads(config)), Path(folder) / "run", callbacks=[SlowUpload()], quiet=True)
    (Path(folder) / f"{number}.left").write_text(str(outcome.finished))
    dist.destroy_process_group()
