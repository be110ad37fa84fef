"""What the processes of `test_distributed` run: a training step on a shard, and its answers on disk.

The encoder is a small network; all that the objective sees of it is its two views. Every head is
there, the batch norms included. Dropout is off.
"""

import socket
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn

from dalr.config.schema import ObjectiveConfig
from dalr.data.batches import PairedBatch, TextBatch, Views
from dalr.distributed import (
    barrier,
    broadcast,
    first_reason,
    gather_constant,
    gather_rows,
    rank,
    run_on_all_ranks,
    shard,
    sum_over_workers,
    world_size,
)
from dalr.errors import InputError
from dalr.losses.objective import Objective
from dalr.losses.terms import TERMS
from dalr.training.gradients import Gradients
from tests.dalr.losses.batches import WIDTH, as_text, make_batch

SIZES = (12, 10, 2, 1)
"""Global batches: one that divides evenly, one that does not, fewer rows than workers, a single row."""


class Encoder(nn.Module):
    """[b, 5] → two passes that differ, as dropout would make them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, WIDTH))
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        pooled = torch.stack([self.body(inputs), self.body(1.2 * inputs + 0.1)], 1)
        return pooled, self.head(pooled)


def config() -> ObjectiveConfig:
    """Every term at once; text batches have some too."""
    return ObjectiveConfig(
        cross_modal=0.5,
        intra_modal=0.5,
        margin_text=0.18,
        margin_vl=0.18,
        eta=0.2,
        softening=0.8,
        threshold=1.0,
        weights=dict.fromkeys(TERMS, 1.0),
        on_text=("rank", "local_global"),
    )


def make_models() -> tuple[Encoder, Objective]:
    torch.manual_seed(0)
    encoder = Encoder()
    objective = Objective(
        config(),
        width=WIDTH,
        projection_dim=4,
        image_width=9,
        caption_width=9,
        teacher_widths=(5, 5),
        teacher_weights=(0.3, 0.7),
        token_width=7,
    )
    return encoder.double(), objective.double()


def global_batch(size: int) -> tuple[Tensor, PairedBatch]:
    """The encoder's inputs and the constants of a batch, the same on every worker."""
    inputs = torch.randn(size, 5, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    return inputs, make_batch(size, image_width=9, caption_width=9, token_width=7, seed=size)


def step(
    encoder: nn.Module, objective: Objective, inputs: Tensor, batch: TextBatch, *, sized: bool, shared: bool
) -> Tensor:
    """Encodes this worker's rows, computes the objective of all or, `shared`, of these rows, and leaves the averaged
    gradients."""
    shards = [shard(len(batch), worker, world_size()) for worker in range(world_size())]
    sizes = [part.stop - part.start for part in shards] if sized else None
    pooled, projected = encoder(inputs[shards[rank()]])
    views = Views(gather_rows(pooled, sizes), gather_rows(projected, sizes))
    total = objective(views, batch, shards[rank()] if shared else None).total
    gradients = Gradients([*encoder.parameters(), *objective.parameters()])
    gradients.zero()
    gradients.backward([world_size() * total if shared else total], last=True)
    gradients.wait()
    return sum_over_workers(total.detach()) if shared else total.detach()


def run(*, sized: bool = True, shared: bool = False) -> dict[str, Tensor]:
    """Loss, gradients and buffers after a step on each batch, from fresh models each time."""
    answers: dict[str, Tensor] = {}
    for size in SIZES:
        for kind in ("paired", "text"):
            encoder, objective = make_models()
            inputs, batch = global_batch(size)
            total = step(
                encoder, objective, inputs, batch if kind == "paired" else as_text(batch), sized=sized, shared=shared
            )
            answers[f"{size}.{kind}.total"] = total
            for name, parameter in [*encoder.named_parameters(), *objective.named_parameters()]:
                if parameter.grad is not None:
                    answers[f"{size}.{kind}.grad.{name}"] = parameter.grad
            for name, buffer in objective.named_buffers():
                answers[f"{size}.{kind}.buffer.{name}"] = buffer
    return answers


def fails_on(worker: int) -> None:
    """What goes wrong on one machine only."""
    if rank() == worker:
        raise InputError("no captions.csv")


def collectives() -> dict[str, Tensor]:
    """What each worker gets to see through the small collectives."""
    own = torch.full((rank(), 2), float(rank()))
    answers = {
        "rows": gather_rows(own),
        "constant": gather_constant(own.long()),
        "mask": gather_constant(torch.tensor([True, False]).repeat(rank())),
        "nothing": gather_rows(own[:0]),
        "shared": torch.tensor(broadcast(10 + rank())),
        "first_reason": torch.tensor(int(first_reason("worker 1" if rank() == 1 else None) == "worker 1")),
        "each": torch.tensor(run_on_all_ranks(lambda: rank() * 3)),
        "disagreed": torch.tensor(int(first_reason(None) is None)),
    }
    try:
        run_on_all_ranks(lambda: fails_on(1))
    except InputError as error:
        answers["failed"] = torch.tensor(int(f"no captions.csv (worker 1, on {socket.gethostname()})" == str(error)))
    try:
        gather_rows(own, [7] * world_size())
    except ValueError as error:
        answers["refused"] = torch.tensor(int("but sizes are [7" in str(error)))
    return answers


def worker(number: int, worlds: tuple[int, ...], folder: str) -> None:
    """One process: takes part in a gloo group on loopback of each size in turn, and writes its answers.

    One process serves several groups because importing torch takes longer than all that it does here.
    """
    torch.set_num_threads(1)
    for world in worlds:
        if number < world:
            store = dist.FileStore(f"{folder}/store-{world}", world)
            dist.init_process_group("gloo", store=store, rank=number, world_size=world, timeout=timedelta(minutes=5))
            answers = {f"sized.{name}": value for name, value in run().items()}
            answers |= {f"shared.{name}": value for name, value in run(shared=True).items()}
            answers |= {f"asked.{name}": value for name, value in run(sized=False).items()}
            answers |= {f"collective.{name}": value for name, value in collectives().items()}
            contiguous = {name: value.contiguous() for name, value in answers.items()}
            save_file(contiguous, Path(folder) / f"{world}-{number}.safetensors")
            barrier()
            dist.destroy_process_group()
