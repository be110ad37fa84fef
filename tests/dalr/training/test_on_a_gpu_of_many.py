"""A step as one of three workers on GPUs, without a GPU: on tensors that have a device and no data."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily

import dalr.data.batches
import dalr.data.features.token_states
import dalr.model.packing
import dalr.model.student
import dalr.training.grad_cache
import dalr.training.loader
import dalr.training.trainer
from dalr.config.schema import RunConfig
from dalr.data.batches import TextBatch
from dalr.data.features.prepare import prepare_features
from dalr.evaluation.encoder import TokenBatch
from dalr.training.gradients import Gradients
from dalr.training.optim import make_optimizer
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.dalr.training.objectives import OBJECTIVES, OPTIONS, Variants, config_for

pytestmark = pytest.mark.medium

GPU = torch.device("cuda", 0)


class Collectives:
    """Stands for NCCL among `world` workers: refuses tensors that are not on the GPU."""

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world, self.calls = rank, world, list[str]()

    def all_reduce(self, tensor: Tensor, **options: Any) -> "Collectives":
        self._check("all_reduce", tensor)
        return self

    def wait(self) -> None:
        self.calls.append("wait")

    def all_gather(self, parts: list[Tensor], tensor: Tensor, **options: Any) -> None:
        self._check("all_gather", tensor, *parts)
        assert all(part.shape == tensor.shape for part in parts)

    def _check(self, name: str, *tensors: Tensor) -> None:
        assert all(tensor.device == GPU for tensor in tensors), f"{name} got a tensor of another device"
        assert all(tensor.is_contiguous() for tensor in tensors)
        self.calls.append(name)


class Rows:
    """The rows of a batch, which the host reads by numpy; inside a mode no tensor can be read."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows

    def numpy(self) -> NDArray[np.int64]:
        return self.rows

    def __len__(self) -> int:
        return len(self.rows)


def join(rank: int, monkeypatch: pytest.MonkeyPatch) -> Collectives:
    """From now on this process is worker `rank` of three; a batch of two rows leaves the last one none."""
    joined = Collectives(rank, 3)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: joined.rank)
    monkeypatch.setattr(dist, "get_world_size", lambda: joined.world)
    for name in ("all_reduce", "all_gather"):
        monkeypatch.setattr(dist, name, getattr(joined, name))
    return joined


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> FakeTensorMode:
    """Tensors made inside have no data: whatever asks for a number, or for a shape that depends on one, raises."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)  # those of the batch, on the CPU as they are

    def moved(tensor: Tensor, device: torch.device) -> Tensor:
        if device.type == "cpu":  # before the run is on the GPU
            return tensor
        return (tensor if isinstance(tensor, FakeTensor) else mode.from_tensor(tensor)).to(device)

    for module in (
        dalr.data.batches,
        dalr.data.features.token_states,
        dalr.model.packing,
        dalr.model.student,
        dalr.training.grad_cache,
    ):
        monkeypatch.setattr(module, "to_device", moved)
    monkeypatch.setattr(dalr.training.loader, "pinned", lambda batch, device: batch)
    # Without CUDA torch would start it to read the peak.
    monkeypatch.setattr(dalr.training.trainer, "peak_memory", lambda device: {})
    return mode


def without_data(module: nn.Module, mode: FakeTensorMode) -> None:
    """Puts the module on the GPU that is not there, in place."""
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    fake = mode.from_tensor(tensor.detach())
                    with mode:
                        moved = fake.to(GPU)
                        is_parameter = isinstance(tensor, nn.Parameter)
                        tensors[name] = nn.Parameter(moved, tensor.requires_grad) if is_parameter else moved


def on_the_gpu(config: RunConfig, folder: Path, mode: FakeTensorMode, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run at its first step that is on the GPU which is not there; its batches are real ones."""
    run = Run.start(config, RunFolder(folder), torch.device("cpu"))
    run.device, run.loader.device, run.batches.shape_step = GPU, GPU, 8
    batch = run.batches.batch

    def real_batch(step: int) -> TextBatch:
        with unset_fake_temporarily():
            real = batch(step)
            return replace(real, rows=Rows(real.rows.numpy()))  # type: ignore[arg-type]

    monkeypatch.setattr(run.batches, "batch", real_batch)
    for module in (run.student, run.objective, run.features.token_states):
        if module is not None:
            without_data(module, mode)
    with mode:
        run.optimizer = make_optimizer([run.student, run.objective], config.optim)
        run.broken = torch.zeros((), dtype=torch.bool, device=GPU)
    return run


def steps(run: Run, joined: Collectives, mode: FakeTensorMode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of the run, on text and on pairs, as a worker of many."""
    with mode:
        run.gradients = Gradients([*run.student.parameters(), *run.objective.parameters()])

        def backward(*tensors: Any, **options: Any) -> None:
            for parameter in run.gradients.parameters:
                assert parameter.grad is not None
                parameter.grad += torch.zeros_like(parameter)
                for hook in parameter._post_accumulate_grad_hooks.values():  # type: ignore[attr-defined]
                    hook(parameter)

        # Autograd's engine asks the driver for the device; its operations are counted on the CPU elsewhere.
        monkeypatch.setattr(torch.Tensor, "backward", backward)
        monkeypatch.setattr(torch.autograd, "backward", backward)
        for _ in range(2):  # a batch of text and one of pairs
            run.step()
    assert {"all_reduce", "all_gather", "wait"} <= set(joined.calls)
    assert all(numbers.numbers.device == GPU for numbers in run.unread.steps)


EACH = [*((name, "online") for name in OBJECTIVES), ("dalr", "cached"), ("everything", "cached")]
WITHOUT_ROWS = [each for each in EACH if each[0] in ("simcse", "everything")]


@pytest.mark.parametrize(
    ("objective", "tokens", "rank"), [*((*each, 0) for each in EACH), *((*each, 2) for each in WITHOUT_ROWS)]
)
@pytest.mark.filterwarnings("ignore:CUDA is not available:UserWarning")
def test_every_collective_gets_tensors_of_the_gpu(
    objective: str,
    tokens: str,
    rank: int,
    corpora: Path,
    tiny_bert: Path,
    tmp_path: Path,
    mode: FakeTensorMode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = {"data__store": str(tmp_path / tokens), "train__batch_size": 2, "train__accumulate": 2}
    config = config_for(objective, corpora, tiny_bert, **changes)
    if tokens == "cached":
        prepare_features(config, cache_tokens=True, quiet=True)
    run = on_the_gpu(config, tmp_path, mode, monkeypatch)
    steps(run, join(rank, monkeypatch), mode, monkeypatch)


# Checkpointing of activations asks the driver for the state of its generator.
@pytest.mark.parametrize("option", [option for option in OPTIONS if option != "activation checkpointing"])
@pytest.mark.filterwarnings("ignore:CUDA is not available:UserWarning")
def test_so_it_does_whatever_the_settings(
    option: str, variants: Variants, tmp_path: Path, mode: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = on_the_gpu(variants(option, train__batch_size=6), tmp_path, mode, monkeypatch)
    steps(run, join(0, monkeypatch), mode, monkeypatch)


@pytest.mark.parametrize("rank", [0, 2], ids=["with batches", "without batches"])
@pytest.mark.filterwarnings("ignore:CUDA is not available:UserWarning")
def test_the_vectors_of_an_evaluation_are_gathered_on_the_gpu(
    rank: int, corpora: Path, tiny_bert: Path, tmp_path: Path, mode: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One copy to the host, after them."""

    class Copied(Exception):
        pass

    def copied(tensor: Tensor) -> Tensor:
        assert tensor.device == GPU
        raise Copied

    joined = join(rank, monkeypatch)
    run = on_the_gpu(config_for("simcse", corpora, tiny_bert), tmp_path, mode, monkeypatch)
    assert run.validation is not None
    assert len(run.validation._mine) == (rank == 0), "the small split is one batch"
    with mode:
        run.validation._mine = [
            TokenBatch(*(mode.from_tensor(tensor).to(GPU) for tensor in batch[:2]), batch.padded)
            for batch in run.validation._mine
        ]
    monkeypatch.setattr(torch.Tensor, "cpu", copied)
    with mode, pytest.raises(Copied):
        run.validation.vectors()
    assert joined.calls == ["all_gather"]
