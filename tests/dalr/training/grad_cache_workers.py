"""Worker processes that compute one gradient together, each in parts."""

import contextlib
from pathlib import Path

import torch
import torch.distributed as dist

from dalr.config.loading import read_config
from dalr.training.grad_cache import compute_gradients, seed_step
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run


def gradient_of(folder: Path, parts: int) -> dict[str, torch.Tensor]:
    """The gradient of the first batch, one of pairs, of the run that `folder`/config.yaml describes."""
    run = Run.start(read_config(folder / "config.yaml"), RunFolder(folder / "run"), torch.device("cpu"))
    run.student.train()
    run.objective.train()
    compute_gradients(
        run.student,
        run.objective,
        run.prepared_batch(0),
        run.gradients,
        parts=parts,
        groups=2,
        seed=lambda part: seed_step(1, 0, part),
        autocast=contextlib.nullcontext,
    )
    named = [*run.student.named_parameters(), *run.objective.named_parameters()]
    return {name: p.grad for name, p in named if p.grad is not None}


def worker(number: int, world: int, parts: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store-{world}-{parts}", rank=number, world_size=world)
    try:
        torch.save(gradient_of(Path(folder), parts), f"{folder}/gradient-{number}.pt")
    finally:
        dist.destroy_process_group()
