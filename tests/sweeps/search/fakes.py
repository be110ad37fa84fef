"""Trainers and a worker loop that cost nothing, for tests of the sweep's own logic.

`optim.weight_decay` of a point is its fate: 0 trains; the values in `FATES` end otherwise. The score
has its peak at learning rate 1e-3.
"""

import json
import math
import os
import resource
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

from dalr.config.overrides import to_yaml
from dalr.config.schema import RunConfig
from dalr.identity import SCHEMA, Identity
from dalr.sweeps.execution import trial
from dalr.sweeps.execution.trial import Train, run_task
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.records import Task
from dalr.training.callbacks import Callback, Diverged, Outcome

ONCE = 0.8
"""As if a node was lost: the process dies in its fifth step, the first time."""
FATES = {0.1: "raises", 0.2: "nan", 0.3: "memory", 0.4: "hangs", 0.5: "dies", 0.6: "limit", 0.7: "nan_score"}


def score(config: RunConfig, step: int) -> float:
    """0 to 100, a function of the config and the step alone."""
    return 70 - 10 * abs(math.log10(config.optim.learning_rate) + 3) + 0.01 * step + 0.001 * config.train.seed


def train(config: RunConfig, folder: Path, listener: Callback, task: Task, *, pause: float = 0.0) -> Outcome:
    """Counts to `train.steps`, checkpointing its step; steps.jsonl tells which steps were done, and by
    whom."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(to_yaml(config))
    identity = Identity(config, task.contents)
    notes = {"schema": SCHEMA, "config_fingerprint": identity.fingerprint, "contents": task.contents}
    (folder / "provenance.json").write_text(json.dumps(notes))
    checkpoint = folder / "step.json"
    step, best = json.loads(checkpoint.read_text()) if checkpoint.is_file() else (0, None)
    total = config.train.steps or 0
    listener.on_start(step, total)
    fate = FATES.get(config.optim.weight_decay)
    while step < total:
        step += 1
        time.sleep(pause)
        with (folder / "steps.jsonl").open("a") as file:
            file.write(json.dumps([step, os.getpid()]) + "\n")
        suffer(fate, step)
        if config.optim.weight_decay == ONCE and step == 5 and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), 9)
        if step % config.train.eval_every == 0 or step == total:
            value = math.nan if fate == "nan_score" else score(config, step)
            best = value if best is None else max(best, value)
            aside = folder / "step.json.tmp"
            aside.write_text(json.dumps([step, best]))
            aside.replace(checkpoint)
            listener.on_evaluation(step, value, {"loss": 1.0})
    return Outcome(steps=step, best_step=step, best_score=best, last_loss=1.0, seconds=0.0, finished=True)


def slow_train(config: RunConfig, folder: Path, listener: Callback, task: Task) -> Outcome:
    """As `train`, 20 ms a step, so that a kill finds it at work."""
    return train(config, folder, listener, task, pause=0.02)


def suffer(fate: str | None, step: int) -> None:
    """Lets a run fail after its second step."""
    if fate in (None, "nan_score") or step < 2:
        return
    if fate == "raises":
        raise RuntimeError("the disk is on fire")
    if fate == "nan":
        raise Diverged(step, f"the loss is nan at step {step}")
    if fate == "memory":
        raise MemoryError("could not hold the batch")
    if fate == "limit":
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (2**36, hard))
        try:
            bytearray(2**37)  # the allocator itself says no
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    if fate == "dies":
        os.kill(os.getpid(), 9)
    time.sleep(3600)


def work(coordinator: Coordinator, *, trainer: Train = train, reports: int | None = None) -> int:
    """Does every task that the coordinator hands out, one after the other; returns the number of
    reports. After `reports` of them the driver dies: nothing more is said."""
    said = 0

    class Killed(BaseException):
        pass

    for key in map(str, range(10_000)):
        task = coordinator.next_task(key)
        if task is None:
            assert coordinator.finished
            return said

        def tell(report, key=key):  # type: ignore[no-untyped-def]
            nonlocal said
            said += 1
            if reports is not None and said > reports:
                raise Killed
            if coordinator.on_report(key, report):
                raise SystemExit

        # A fake trainer leaves nothing large behind, and to look for it would take 0.1 s a run.
        nothing_to_free = mock.patch.object(trial, "_free_memory") if trainer is train else nullcontext()
        try:
            with nothing_to_free:
                run_task(task, tell, trainer)
        except SystemExit:
            continue
        except Killed:
            return said
    raise AssertionError("the sweep does not end")
