"""What runs inside a trial's process: the runs of one trial, reported to Tune.

Nothing here raises for a failure that belongs to the trial (NaN, bad input, out of memory): it is
reported, with its reason, so that Tune keeps the process, and with it the imports, for the next trial.
"""

import atexit
import gc
import json
import logging
import math
import os
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

from dalr.cluster.storage.filesystems import StorageFailed
from dalr.config.loading import read_config
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.extensions import carried, load_carried
from dalr.files import locked, uri_of, write_text
from dalr.identity import Identity
from dalr.sweeps.execution.failures import leaves_cuda_broken, reason_of
from dalr.sweeps.execution.place import storage_of
from dalr.sweeps.execution.tracked import trackers_of
from dalr.sweeps.search.configs import run_config
from dalr.sweeps.search.records import Report, RunRecord, Task
from dalr.training.callbacks import Callback, Outcome, StopTraining
from dalr.training.run_folder import LOCK_SECONDS, RunFolder

_log = logging.getLogger(__name__)

Tell = Callable[[Report], None]
"""Hands a report to the sweep; raises SystemExit where the sweep wants the trial to end."""

Train = Callable[[RunConfig, Path, Callback, Task], Outcome]
"""Trains, or goes on training, one run in a folder."""


def make_trainable(train: Train | None = None) -> Callable[[Mapping[str, str]], None]:
    """The function that Tune runs: `config["task"]` is a `Task` as JSON. `train` trains one run (None:
    `dalr.training.loop` in this process, or Ray Train where a trial has several workers)."""

    modules = carried()

    def trial(config: Mapping[str, str]) -> None:
        from ray import tune

        load_carried(modules)

        # Tune fails the next trial if this one has not left the process by then; a checkpoint takes
        # longer to write than Tune's 2 seconds.
        os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "120")
        task = Task(**json.loads(config["task"]))
        default = train_nested if task.workers > 1 else train_here
        run_task(task, lambda report: tune.report(report.dump()), train or default)

    return trial


def run_task(task: Task, tell: Tell, train: Train) -> None:
    """The runs that are not done yet, one seed after the other; the sweep may end the trial after any."""
    _free_memory()  # of a trial before, which the sweep stopped
    pending = [run for run in map(RunRecord.load, task.runs) if run.state == "running"]
    for run in pending:
        if not _Run(task, run, tell, train, last=run is pending[-1]).attempt():
            return


def train_here(config: RunConfig, folder: Path, listener: Callback, task: Task) -> Outcome:
    """One run in this process, on what of a GPU the sweep gives it."""
    import ray

    from dalr.cluster.devices import claim_device
    from dalr.cluster.signals import StopWhenAsked
    from dalr.training.loop import train

    storage = storage_of(task, config.train.seed)

    _leave_modules_out_of_collections()
    device = claim_device(task.gpus)
    # The trackers first: what they make on their first use is there before other trials begin.
    asked = [StopWhenAsked(storage.display_name)] if ray.is_initialized() else []
    told = [*trackers_of(task, config.train.seed, config), listener, *asked]
    return train(
        config,
        folder,
        callbacks=[*told, *storage.callbacks(config)],
        recipe=task.recipe,
        device=device,
        quiet=True,
        display_name=storage.display_name,
    )


def train_nested(config: RunConfig, folder: Path, listener: Callback, task: Task) -> Outcome:
    """One run of several workers."""
    from dalr.sweeps.execution.multi_worker import follow_ray_train

    return follow_ray_train(config, folder, listener, task)


class _Run:
    """One attempt at one seed's run."""

    def __init__(self, task: Task, record: RunRecord, tell: Tell, train: Train, *, last: bool) -> None:
        self.task = task
        self.train = train
        self.seed = record.seed
        self.expected = record.fingerprint
        self.storage = storage_of(task, record.seed)
        self.folder = self.storage.folder.path
        self.tell = tell
        self.last = last
        self.attempt_id = uuid.uuid4().hex
        self.began = time.monotonic()
        self.listener = _Listener(self)

    def attempt(self) -> bool:
        """Trains, and reports how it ended; whether it did, or left before its end because it was asked to."""
        try:
            # After a crash of the driver an orphaned worker may still be writing.
            with locked(self.folder / ".lock", seconds=LOCK_SECONDS, what=f"the run in {self.folder}"):
                config = self.checked_config()
                self.storage.push_pending(config)
                self.storage.fetch()
                self.remove_other_run()
                outcome = self.train(config, self.folder, self.listener, self.task)
                self.compare_written()
                report = self.success(config, outcome)
                self.storage.cleanup_local(writer=True)
        except StopTraining as stop:  # before the first step
            raise SystemExit from stop
        except Exception as error:
            # The trial's own failure, whatever it is: it is written down, and the sweep goes on.
            self.keep_error(error)
            if leaves_cuda_broken(error):
                # Every later call in this process would fail: Tune starts the trial again in another one.
                _log.warning("the process ends: %s", reason_of(error))
                end_process(1)
            report = self.report(state="failed", reason=reason_of(error))
        # Not before: the error's traceback holds all that the run had.
        _free_memory()
        if self.listener.stopped:
            raise SystemExit
        self.tell(report)
        return report.state != "running"

    def checked_config(self) -> RunConfig:
        """The config built here; a value that did not arrive shows in its fingerprint."""
        config = run_config(self.task.base, self.task.point, self.seed)
        fingerprint = Identity(config, self.task.contents).fingerprint
        if fingerprint != self.expected:
            raise RuntimeError(
                f"the trial's config has fingerprint {fingerprint}, the sweep suggested {self.expected}: "
                "a sampled value did not arrive (is the code on this node another version?)"
            )
        if uri_of(self.task.out) is None and not (Path(self.task.out) / "sweep.yaml").is_file():
            raise InputError(f"{self.task.out} is not visible on this node: put it on storage that all nodes share")
        return config

    def remove_other_run(self) -> None:
        """A run that begins again with other settings finds what it left before; the rest of the folder's content
        is its own."""
        if not self.task.anew or not (self.folder / "config.yaml").is_file():
            return
        written = Identity(read_config(self.folder / "config.yaml"), self.task.contents)
        if written.fingerprint != self.expected:
            self.storage.clear()

    def keep_error(self, error: Exception) -> None:
        """Writes down the traceback of a run that failed, beside the run. What could not be stored of it stays on this
        machine, from where a later attempt stores it."""
        write_text(self.folder / "error.txt", traceback.format_exc())
        if isinstance(error, StorageFailed):
            return
        try:
            self.storage.keep("error.txt")
            self.storage.cleanup_local(writer=True)
        except StorageFailed as failure:
            _log.warning("%s; error.txt is not stored", failure)

    def compare_written(self) -> None:
        """What the run says it trained with must be what the sweep suggested, data and models included."""
        config, contents = read_config(self.folder / "config.yaml"), RunFolder(self.folder).notes()["contents"]
        written = Identity(config, contents)
        if written.fingerprint != self.expected:
            other = sorted(key for key, value in contents.items() if self.task.contents.get(key) != value)
            where = f" ({', '.join(other)}: this node sees another content)" if other else ""
            raise RuntimeError(
                f"the run trained with config {written.fingerprint}, the sweep suggested {self.expected}{where}"
            )

    def success(self, config: RunConfig, outcome: Outcome) -> Report:
        """The last report of a run: every metric of the spec, in its order."""
        if not outcome.finished:
            return self.report(step=outcome.steps, best=outcome.best_score, state="running", left=True)
        if outcome.best_score is None:
            return self.report(
                step=outcome.steps, state="failed", reason="no score was reported: nothing was evaluated"
            )
        metrics = {self.task.metrics[0]: outcome.best_score, "seconds": self.seconds}
        metrics |= extra_scores(config, self.folder, self.task)
        unusable = [f"{name} is {metrics[name]}" for name in self.task.metrics if not math.isfinite(metrics[name])]
        if unusable:
            return self.report(step=outcome.steps, state="failed", reason=f"no usable score: {', '.join(unusable)}")
        values = tuple(metrics[name] for name in self.task.metrics)
        return self.report(
            step=outcome.steps, best=outcome.best_score, values=values, metrics=metrics, state="complete"
        )

    @property
    def seconds(self) -> float:
        """Wall seconds of this attempt."""
        return time.monotonic() - self.began

    def report(self, **known: object) -> Report:
        """A report of this attempt."""
        values = {"step": self.listener.step, "total": self.listener.total, "last": self.last, **known}
        return Report(seed=self.seed, attempt=self.attempt_id, seconds=self.seconds, **values)  # type: ignore[arg-type]


class _Listener(Callback):
    """Passes evaluations on to the sweep and its wish to stop back to the run."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.step = 0
        self.total = 0
        self.best: float | None = None
        self.stopped = False

    def on_start(self, step: int, total: int) -> None:
        """Says that the teacher features are there and training begins."""
        self.step, self.total = step, total
        self.send(self.run.report())

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.step = step

    def on_evaluation(self, step: int, score: float, metrics: Mapping[str, float]) -> None:
        """One report an evaluation."""
        self.step = step
        self.best = score if self.best is None else max(self.best, score)
        self.send(self.run.report(score=score, best=self.best, metrics=dict(metrics)))

    def send(self, report: Report) -> None:
        """Reports; Tune's wish to end the trial, a SystemExit, becomes an orderly end of the run."""
        try:
            self.run.tell(report)
        except SystemExit:
            self.stopped = True
            raise StopTraining("stopped by the sweep") from None


def extra_scores(config: RunConfig, folder: Path, task: Task) -> dict[str, float]:
    """Scores of the exported model on the spec's further TASK.SPLIT metrics, 0-100, computed on what this process was
    given: the GPUs of a run of several workers are theirs."""
    if not task.extra_metrics:
        return {}
    from dalr.cluster.devices import claim_device
    from dalr.evaluation import SentenceEncoder, dev_score
    from dalr.evaluation.plan import own_tasks

    own = own_tasks(config.evaluation.custom)
    device = claim_device(0 if task.workers > 1 else task.gpus)
    encoder = SentenceEncoder.load(str(folder / "model"), pooler=config.model.pooler, device=device)
    return {name: dev_score(encoder.encode, config.evaluation.data, name, own) for name in task.extra_metrics}


end_process = os._exit  # no clean-up: it would call CUDA


def _free_memory() -> None:
    """Gives back what the last run held, for the next one in this process."""
    gc.collect()
    torch = sys.modules.get("torch")
    # To ask whether there is a GPU would start the driver, before `claim_device` hides cards that are not this trial's.
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@cache
def _leave_modules_out_of_collections() -> None:
    """Once, when everything is imported: modules stay as long as the process, and a collection that looks
    through torch's and transformers' takes 0.4 s."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # some libraries report what is left at the end


def task_json(task: Task) -> str:
    """The form in which a task travels."""
    return json.dumps(asdict(task))
