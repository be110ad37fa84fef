"""What the processes of `test_gradients` run: steps whose gradients travel in buckets, and what they must equal."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dalr.config.loading import read_config
from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.distributed import barrier, rank, world_size
from dalr.training import gradients
from dalr.training.checkpoint import save_checkpoint, state_of
from dalr.training.gradients import Gradients
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run

BUCKET = 5000
"""Bytes: a few parameters of the tiny student each, its larger ones alone."""
CASES = [(8, 1), (8, 3), (7, 3), (2, 1), (4, 3)]
"""Rows of the global batch, and parts in which each worker encodes its share; 2 rows leave a third worker none."""
CPU = torch.device("cpu")


class AfterBackward(Gradients):
    """The reference: all is computed, then all is sent, each of `cut` as one buffer."""

    def __init__(self, parameters: Sequence[nn.Parameter], cut: Sequence[Sequence[nn.Parameter]]) -> None:
        with mock.patch.object(gradients, "world_size", return_value=1):
            super().__init__(parameters)
        self.cut = cut

    def wait(self) -> None:
        for bucket in self.cut:
            flat, views = gradients._flat(bucket)
            present = [(p.grad, view) for p, view in zip(bucket, views, strict=True) if p.grad is not None]
            for gradient, view in present:
                view.copy_(gradient)
            dist.all_reduce(flat)
            flat /= world_size()
            for gradient, view in present:
                gradient.copy_(view)


def step(run: Run, kind: Gradients) -> dict[str, Tensor]:
    """The gradients of the run's next step, which is done."""
    run.gradients = kind
    run.step()
    named = [*run.student.named_parameters(), *run.objective.named_parameters()]
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def parameters_of(run: Run) -> list[nn.Parameter]:
    return [p for p in [*run.student.parameters(), *run.objective.parameters()] if p.requires_grad]


def compared(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Two steps, of pairs and of sentences, by buckets; after backward in the same buckets; and as one buffer."""
    answers = {}
    for name in ("buckets", "same", "whole"):
        run = Run.start(config, RunFolder(folder), CPU)
        mine = parameters_of(run)
        if name == "buckets":
            kind = Gradients(mine, BUCKET)
            answers["count"] = len(kind._queue.flats)
        else:
            kind = AfterBackward(mine, gradients._cut(mine[::-1], BUCKET) if name == "same" else [mine])
        answers[name] = [step(run, kind) for _ in range(2)]
        answers["weights" if name == "buckets" else f"{name} weights"] = [p.detach().clone() for p in mine]
    return answers


@contextmanager
def noted(run: Run) -> Iterator[list[tuple[str, int]]]:
    """What happens inside, in order: gradients that arrive, by bucket, and buckets that are sent."""
    events: list[tuple[str, int]] = []
    places: dict[int, int] = {}
    plain = dist.all_reduce

    def all_reduce(tensor: Tensor, *words: Any, **options: Any) -> Any:
        if tensor.data_ptr() in places:  # the objective has collectives of its own
            events.append(("sent", places[tensor.data_ptr()]))
        return plain(tensor, *words, **options)

    def arrived(queue: Any, number: int, bucket: int, parameter: Tensor) -> None:
        events.append(("arrived", bucket))
        on_gradient(queue, number, bucket, parameter)

    on_gradient = gradients._Queue.on_gradient
    with (
        mock.patch.object(gradients._Queue, "on_gradient", arrived),
        mock.patch.object(gradients.dist, "all_reduce", all_reduce),
    ):
        run.gradients = Gradients(parameters_of(run))
        places.update({flat.data_ptr(): number for number, flat in enumerate(run.gradients._queue.flats)})
        yield events


def events_of(config: RunConfig, folder: Path) -> list[list[tuple[str, int]]]:
    """Of two steps each."""
    run = Run.start(config, RunFolder(folder), CPU)
    steps = []
    with noted(run) as events:
        for _ in range(2):
            run.step()
            steps.append(events.copy())
            events.clear()
    return steps


def resumed(config: RunConfig, folder: Path) -> dict[str, bool]:
    """Whether four steps equal two, a checkpoint and two of a new process's run, bit for bit."""
    whole = Run.start(config, RunFolder(folder / "whole"), CPU)
    for _ in range(4):
        whole.step()
    place = RunFolder(folder / "cut")
    first = Run.start(config, place, CPU)
    for _ in range(2):
        first.step()
    if rank() == 0:
        save_checkpoint(place.checkpoints, state_of(first.trainables), first.progress, first.identity)
    barrier()
    second = Run.start(config, place, CPU)
    second.resume()
    answers = {"resumed": second.progress.step == 2}
    for _ in range(2):
        second.step()
    expected, found = (run.student.state_dict() | run.objective.state_dict() for run in (whole, second))
    answers["weights"] = all(torch.equal(found[name], value) for name, value in expected.items())
    moments = [[s[key] for s in run.optimizer.state.values() for key in s] for run in (whole, second)]
    answers["moments"] = all(torch.equal(a, b) for a, b in zip(*moments, strict=True))
    return answers


def worker(number: int, worlds: tuple[int, ...], folder: str) -> None:
    """One process: takes part in a group of each size in turn, and writes its answers."""
    torch.set_num_threads(1)
    place = Path(folder)
    config = read_config(place / "config.yaml")
    for world in worlds:
        if number >= world:
            continue
        store = dist.FileStore(f"{folder}/store-{world}", world)
        dist.init_process_group("gloo", store=store, rank=number, world_size=world, timeout=timedelta(minutes=5))
        answers: dict[str, Any] = {}
        with mock.patch.object(gradients, "BUCKET_BYTES", BUCKET):
            for batch, parts in CASES:
                changed = with_overrides(config, {"train.batch_size": batch, "train.accumulate": parts})
                answers[f"{batch} {parts}"] = compared(changed, place / "run")
                answers[f"events {batch} {parts}"] = json.dumps(events_of(changed, place / "run"))
            ragged = with_overrides(config, {"train.batch_size": 7})
            answers["resumed"] = resumed(ragged, place / f"resumed-{world}")
        torch.save(answers, place / f"{world}-{number}.pt")
        barrier()
        dist.destroy_process_group()
