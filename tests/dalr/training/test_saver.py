"""When a run is saved, what of it, and that the writing stands in nobody's way."""

import contextlib
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.identity import identity_of
from dalr.training import saver
from dalr.training.callbacks import Callback
from dalr.training.checkpoint import Progress, State, load_weights, save_checkpoint
from dalr.training.checkpoint_files import complete_names, steps_saved
from dalr.training.loop import train
from dalr.training.saver import HostCopy, Saver
from tests.dalr.training.test_loop import DieAfter, StopAfter, losses, same, weights

pytestmark = pytest.mark.medium


@pytest.fixture
def by_the_clock(small: RunConfig) -> RunConfig:
    """Evaluated every second step, saved by minutes only, with dropout."""
    return with_overrides(
        small,
        {"train.checkpoint_every": None, "train.eval_every": 2, "model.dropout": 0.1, "optim.learning_rate": 3e-3},
    )


class Seen(Callback):
    """Notes what is there, and which thread says so, when a checkpoint is complete."""

    def __init__(self, out: Path) -> None:
        self.checkpoints = out / "checkpoints"
        self.saved: list[int] = []
        self.threads: set[int] = set()

    def on_checkpoint(self, step: int) -> None:
        assert step in steps_saved(self.checkpoints)
        self.saved.append(step)
        self.threads.add(threading.get_ident())


def test_checkpoints_come_by_the_clock_and_at_the_end(
    by_the_clock: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = {"now": 0}

    class Clock(Callback):
        def on_step(self, number: int, metrics: Mapping[str, float]) -> None:
            step["now"] = number

    at_once(monkeypatch)
    monkeypatch.setattr(saver.time, "monotonic", lambda: 60.0 * 4 * step["now"])  # a step takes 4 minutes
    seen = Seen(tmp_path)
    monkeypatch.setattr(Saver.__init__, "__defaults__", (lambda: 60.0 * 4 * step["now"],))
    train(by_the_clock, tmp_path, callbacks=[Clock(), seen], quiet=True)
    assert seen.saved == [3, 6, 8]
    assert threading.get_ident() not in seen.threads


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each save is complete before the next step."""
    save = Saver.save_if_due

    def saved(self: Saver, run: Any, *, stopping: bool) -> None:
        save(self, run, stopping=stopping)
        self.finish()

    monkeypatch.setattr(Saver, "save_if_due", saved)


def test_a_new_best_between_checkpoints_is_kept_as_weights_alone(by_the_clock: RunConfig, tmp_path: Path) -> None:
    stopped = train(by_the_clock, tmp_path, callbacks=[StopAfter(5)], quiet=True)
    names = complete_names(tmp_path / "checkpoints")
    assert names == [f"best-{stopped.best_step:06d}", "step-000005"]
    assert sorted(path.name for path in (tmp_path / "checkpoints" / names[0]).iterdir()) == [
        "meta.json",
        "objective.safetensors",
        "student.safetensors",
    ]
    outcome = train(by_the_clock, tmp_path, quiet=True)
    best = outcome.best_step
    kept = "step-000008" if best == 8 else f"best-{best:06d}"
    assert set(complete_names(tmp_path / "checkpoints")) == {kept, "step-000008"}
    chosen = load_file(tmp_path / "checkpoints" / kept / "student.safetensors")
    model = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(model[name], chosen[f"encoder.{name}"]) for name in model)


def test_a_run_that_died_after_a_best_that_no_checkpoint_names_comes_to_the_same_end(
    by_the_clock: RunConfig, tmp_path: Path
) -> None:
    whole = train(by_the_clock, tmp_path / "whole", quiet=True)
    train(by_the_clock, tmp_path / "stopped", callbacks=[StopAfter(2)], quiet=True)
    for step in (3, 5, 7):
        out = Path(shutil.copytree(tmp_path / "stopped", tmp_path / f"broken-{step}"))
        with pytest.raises(RuntimeError, match="killed"):
            train(by_the_clock, out, callbacks=[DieAfter(step)], quiet=True)
        assert steps_saved(out / "checkpoints") == [2]
        again = train(by_the_clock, out, quiet=True)
        assert (again.finished, again.best_step) == (True, whole.best_step)
        assert losses(out) == losses(tmp_path / "whole")
        assert same(weights(out, 8), weights(tmp_path / "whole", 8))
        assert same(*(load_file(run / "model" / "model.safetensors") for run in (out, tmp_path / "whole")))


def test_steps_go_on_while_a_checkpoint_is_written(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 4 is done before the writing of step 3 ends, and changes nothing of what is written."""
    step_4 = threading.Event()
    write = saver.save_checkpoint
    values: list[torch.Tensor] = []

    class Told(Callback):
        def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
            if step == 4:
                step_4.set()

    def slowly(folder: Path, state: State, progress: Progress, identity: Any) -> Path:
        if progress.step == 3:
            before = {name: value.clone() for name, value in state.student.items()}
            assert step_4.wait(60)
            assert all(torch.equal(before[name], state.student[name]) for name in before)
            values.extend(before.values())
        return write(folder, state, progress, identity)

    monkeypatch.setattr(saver, "save_checkpoint", slowly)
    train(small, tmp_path, callbacks=[Told()], quiet=True)
    assert values, "it was written while step 4 went on"


def test_a_callback_s_error_while_it_is_told_of_a_checkpoint_ends_the_run(small: RunConfig, tmp_path: Path) -> None:
    class Broken(Callback):
        def on_checkpoint(self, step: int) -> None:
            raise OSError(5, "Input/output error", "a mirror")

    with pytest.raises(OSError, match="Input/output error: 'a mirror'"):
        train(small, tmp_path, callbacks=[Broken()], quiet=True)
    assert steps_saved(tmp_path / "checkpoints") == [3]
    assert train(small, tmp_path, quiet=True).finished


class Tied(nn.Module):
    """Two names of one tensor, and an empty one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("none", torch.zeros(0))


def test_tensors_of_two_names_are_written_once_and_come_back(small: RunConfig, tmp_path: Path) -> None:
    module, copy = Tied(), HostCopy()
    state = State(**copy.of({"student": module.state_dict()}))
    assert state.student["first.weight"] is state.student["second.weight"]
    path = save_checkpoint(tmp_path, state, Progress(step=1), identity_of(small))
    assert path.name == "best-000001"
    other = Tied()
    load_weights(path, other)
    assert torch.equal(other.second.weight, module.first.weight)


def test_the_memory_of_a_copy_is_used_again(small: RunConfig) -> None:
    copy, tensor = HostCopy(), torch.arange(4.0)
    first = copy.of({"a": tensor, "b": [tensor + 1, 3]})
    tensor += 1
    assert first["a"].tolist() == [0.0, 1.0, 2.0, 3.0]
    second = copy.of({"a": tensor, "b": [tensor + 1, 3]})
    assert second["a"] is first["a"]
    assert second["b"][1] == 3


def test_a_copy_waits_for_the_card_of_the_student_and_runs_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever card is the first to the thread that writes. CUDA is a stand-in."""
    card, told = torch.device("cuda", 1), list[Any]()

    class Event:
        def record(self, stream: Any) -> None:
            told.append(("recorded in", stream))

    class Stream:
        def __init__(self, device: torch.device) -> None:
            told.append(("a stream on", device))

        def wait_event(self, event: Any) -> None:
            assert isinstance(event, Event)

        def synchronize(self) -> None:
            told.append("synchronised")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    with FakeTensorMode():
        ready = saver._ready(State({"weight": torch.empty(2, device=card)}))
    with saver._beside(ready):
        told.append("copied")
    assert told == [("recorded in", "the stream of cuda:1"), ("a stream on", card), "copied", "synchronised"]
    assert saver._ready(State({"weight": torch.empty(2)})) is None
