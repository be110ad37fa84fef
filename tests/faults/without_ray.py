"""What the processes of an undisturbed run of several workers do: torch.distributed and nothing of Ray."""

from pathlib import Path

import torch.distributed as dist

from dalr.config.schema import RunConfig
from dalr.training.loop import train


def worker(number: int, config: RunConfig, out: Path, count: int) -> None:
    """One of `count` workers that train the run in `out`, over gloo on loopback."""
    store = out.with_name(f"{out.name}-store")
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=number, world_size=count)
    try:
        train(config, out, quiet=True)
    finally:
        dist.destroy_process_group()
