"""A device that runs behind the host: its numbers are read every `train.log_every` steps."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import dalr.training.loop
import dalr.training.trainer
from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.losses.objective import LossTerms
from dalr.training.callbacks import Callback, Diverged, StopTraining
from dalr.training.loop import train
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run, length_groups

pytestmark = pytest.mark.medium

TIMES = ("seconds", "samples_per_second", "evaluation_seconds")


class Told(Callback):
    """Notes what the run has done when it is told of a step; stops at one."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.steps: list[int] = []

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.steps.append(step)
        if step == self.stop:
            raise StopTraining("far enough")


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading costs a wait, as on a GPU."""
    monkeypatch.setattr(dalr.training.trainer, "reading_is_free", lambda device: False)


def lines(out: Path) -> list[dict[str, float]]:
    read = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in read]


@pytest.mark.parametrize("log_every", [1, 4, 100])
def test_the_lines_do_not_depend_on_when_they_are_read(
    log_every: int, small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(small, tmp_path / "at-once", quiet=True)
    monkeypatch.setattr(dalr.training.trainer, "reading_is_free", lambda device: False)
    told = Told()
    config = with_overrides(small, {"train.log_every": log_every})
    train(config, tmp_path / "late", callbacks=[told], quiet=True)
    assert lines(tmp_path / "late") == lines(tmp_path / "at-once")
    assert told.steps == list(range(1, 9))


def test_numbers_are_read_where_something_lasts(small: RunConfig, tmp_path: Path, behind: None) -> None:
    changes = {"train.log_every": 4, "train.eval_every": 3, "train.checkpoint_every": 5, "train.steps": 11}
    run = Run.start(with_overrides(small, changes), RunFolder(tmp_path), torch.device("cpu"))
    reads = []
    for step in range(1, 12):
        run.step()
        if run.reading_is_due():
            reads.append(step)
    assert reads == [3, 4, 5, 6, 8, 9, 10, 11]


def test_workers_whom_no_signal_reaches_ask_each_other_when_they_read(
    small: RunConfig, tmp_path: Path, behind: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Ray, training runs in a thread. The question holds up the host, which should run ahead of the device."""
    asked: list[str | None] = []
    monkeypatch.setattr(dalr.training.loop, "first_reason", asked.append)
    changes = {"train.steps": 6, "train.eval_every": 6, "train.log_every": 3}
    thread = threading.Thread(target=train, args=(with_overrides(small, changes), tmp_path / "run"))
    thread.start()
    thread.join()
    assert len(asked) == 2
    train(with_overrides(small, changes), tmp_path / "signals")
    assert len(asked) == 2 + 6


def test_a_callback_that_stops_is_heard_at_the_next_read(small: RunConfig, tmp_path: Path, behind: None) -> None:
    config = with_overrides(small, {"train.log_every": 4, "train.eval_every": 100, "train.checkpoint_every": 100})
    outcome = train(config, tmp_path, callbacks=[Told(stop=2)], quiet=True)
    assert (outcome.steps, outcome.reason) == (4, "far enough")
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_never_reaches_the_weights(
    what: str, small: RunConfig, tmp_path: Path, behind: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 3 is broken, steps 4 to 6 run before anyone knows; the weights stay those of step 2."""
    config = with_overrides(small, {"train.log_every": 6, "train.eval_every": 100})
    compute = dalr.training.trainer.compute_gradients
    run = Run.start(config, RunFolder(tmp_path), torch.device("cpu"))

    def broken(student: torch.nn.Module, *rest: Any, **options: Any) -> LossTerms:
        terms = compute(student, *rest, **options)  # type: ignore[arg-type]
        if run.progress.step == 2 and what == "gradient":
            next(p.grad for p in student.parameters() if p.grad is not None)[0] = torch.nan
        if run.progress.step == 2 and what == "loss":
            terms.total.fill_(torch.inf)
        return terms

    monkeypatch.setattr(dalr.training.trainer, "compute_gradients", broken)
    states = []
    for _ in range(6):
        run.step()
        moments = [value for state in run.optimizer.state.values() for value in state.values()]
        states.append([tensor.detach().clone() for tensor in (*run.student.parameters(), *moments)])
    assert not all(torch.equal(*pair) for pair in zip(states[0], states[1], strict=True))
    for later in states[2:]:
        assert all(torch.equal(*pair) for pair in zip(states[1], later, strict=True))
    read, failure = run.read()
    assert [line.step for line in read] == [1, 2]
    assert isinstance(failure, Diverged)
    assert failure.step == 3
    assert ("the loss is inf" if what == "loss" else "the norm of the gradient is nan") in str(failure)
    saved = load_file(tmp_path / "diverged-step-000003.safetensors")
    assert torch.equal(saved["input_ids"], run.batches.batch(2).input_ids)


def test_groups_are_automatic_by_device() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert (length_groups("auto", cpu), length_groups("auto", gpu)) == (4, 1)
    assert (length_groups(2, cpu), length_groups(2, gpu)) == (2, 2)
    assert (length_groups("packed", cpu), length_groups("packed", gpu)) == ("packed", "packed")
