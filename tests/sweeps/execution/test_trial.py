"""What a trial leaves in its process for the next one: nothing; a process whose CUDA is broken ends."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import dalr.evaluation
from dalr.config.loading import load_recipe
from dalr.config.schema import RunConfig
from dalr.sweeps.execution import trial
from dalr.sweeps.execution.failures import is_out_of_memory, leaves_cuda_broken
from dalr.sweeps.search.records import Task
from dalr.training.callbacks import Callback, Outcome
from tests import ROOT
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes


class Model:
    """Something large."""


class AcceleratorError(RuntimeError):
    """As torch names CUDA's own."""


@pytest.mark.parametrize("fails", [True, False])
def test_the_next_run_finds_the_memory_free(fails: bool, tmp_path: Path) -> None:
    """Also what a cycle holds, and what a traceback held."""
    models: list[weakref.ref[Model]] = []
    alive: list[int] = []

    def train(config: RunConfig, folder: Path, listener: Callback, task: Task) -> Outcome:
        alive.append(sum(model() is not None for model in models))
        model = Model()
        model.self = model  # type: ignore[attr-defined]
        models.append(weakref.ref(model))
        if fails:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return fakes.train(config, folder, listener, task)

    gc.disable()  # else it might run by itself
    try:
        fakes.work(coordinator(spec(budget={"trials": 3}), tmp_path), trainer=train)
    finally:
        gc.enable()
    assert len(alive) >= 3
    assert not any(alive)


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), False),
        (AcceleratorError("CUDA error: out of memory"), False),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), False),
        (ValueError("train.steps: expected a number"), False),
    ],
)
def test_errors_after_which_cuda_is_broken(error: Exception, broken: bool) -> None:
    assert leaves_cuda_broken(error) is broken
    wrapped = ValueError("the student cannot be evaluated")
    wrapped.__cause__ = error
    assert leaves_cuda_broken(wrapped) is broken
    assert is_out_of_memory(error) == ("out of memory" in str(error) or "ALLOC_FAILED" in str(error))


def test_a_process_whose_cuda_is_broken_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Ended(BaseException):
        pass

    def end(code: int) -> None:
        raise Ended(code)

    def train(config: RunConfig, folder: Path, listener: Callback, task: Task) -> Outcome:
        raise AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(trial, "end_process", end)
    with pytest.raises(Ended, match="1"):
        fakes.work(coordinator(spec(budget={"trials": 1}), tmp_path), trainer=train)
    assert "illegal memory access" in caplog.text


@pytest.mark.parametrize(
    ("workers", "gpus", "device"), [(1, 0, "cpu"), (2, 0, "cpu"), (2, 1, "cpu"), (1, 1, "cuda:0"), (1, 0.5, "cuda:0")]
)
def test_further_metrics_are_scored_on_what_the_trial_was_given(
    workers: int, gpus: float, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with cards, which Ray shows to every process."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda fraction, card: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda card: SimpleNamespace(total_memory=2**36))
    asked: list[str] = []

    class Encoder:
        @classmethod
        def load(cls, folder: str, *, device: torch.device, **options: Any) -> Any:
            asked.append(str(device))
            return SimpleNamespace(encode=None)

    monkeypatch.setattr(dalr.evaluation, "SentenceEncoder", Encoder)
    monkeypatch.setattr(dalr.evaluation, "dev_score", lambda *words: 50.0)
    task: Any = SimpleNamespace(extra_metrics=["SICKR.dev"], workers=workers, gpus=gpus)
    assert trial.extra_scores(load_recipe("simcse"), tmp_path, task) == {"SICKR.dev": 50.0}
    assert asked == [device]


def test_freeing_memory_does_not_start_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would see cards that are hidden from the trial a moment later."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("the driver was started"))
    trial._free_memory()


def test_its_process_needs_no_library_before_it_trains() -> None:
    """Each process of a sweep's trials imports this, torch when it trains, and what the study needs never."""
    late = {"torch", "transformers", "optuna", "sqlalchemy", "scipy.stats"}
    code = f"import sys, dalr.sweeps.execution.trial; print(*({late!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
