"""Ray Tune's side of a sweep: its searcher and its scheduler, both thin, around one `Coordinator`.

Tune's own bridge to Optuna has faults that a long search cannot live with: a NaN leaves its trial
running for ever, a stopped trial counts as complete, a reopened study gets its start points twice,
and experiments share a study by default. Here the study is the coordinator's, and Tune only carries
tasks and reports.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import ray
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from dalr.sweeps.execution.multi_worker import ask_to_leave
from dalr.sweeps.execution.trial import task_json
from dalr.sweeps.execution.tune_internals import (
    Trial,
    TuneController,
    actor_of,
    death_of,
    is_started_again,
    live_trials,
    never_again,
)
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.records import TUNE_METRIC, Report

STARTUP_SECONDS = 600.0
"""A new process may be silent for so long, at least, while it imports and loads."""

LEAVE_SECONDS = 300.0
"""Workers that are asked to leave finish their step and write a checkpoint; after so long they hang."""


class SweepSearch(OptunaSearch):
    """Suggests the coordinator's tasks. Its state is the database: there is nothing to save."""

    def __init__(self, coordinator: Coordinator) -> None:
        super().__init__(metric=TUNE_METRIC, mode="max")
        self._coordinator = coordinator

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Metric and space are the specification's."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """A task, None while there is none, FINISHED when there will be none."""
        task = self._coordinator.next_task(trial_id)
        if task is not None:
            return {"task": task_json(task)}
        return Searcher.FINISHED if self._coordinator.over else None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """The scheduler has passed it on: Tune does not call this for a result that ends a trial."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial that Tune considers over but that has not said how it ended."""
        self._coordinator.on_worker_lost(trial_id, "its worker ended without a report")

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the database has it."""


class Phase(Enum):
    """Where a trial's process stands."""

    STARTING = "imports, loads and computes features; no report yet"
    TRAINING = "reports"
    LEAVING = "was asked to save and leave"
    KILLED = "was killed from here"


@dataclass
class LiveTrial:
    """What the scheduler knows of a trial that Tune runs.

    `since`: monotonic seconds of its last report, or of the request to leave. `request`: keeps the request to
    leave alive until its workers have seen it.
    """

    phase: Phase
    since: float
    request: object = None


class SweepScheduler(FIFOScheduler):
    """Passes reports to the coordinator, stops what it wants stopped, and ends silent trials."""

    def __init__(self, coordinator: Coordinator, *, on_round: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._coordinator = coordinator
        self._on_round = on_round
        timeout = coordinator.spec.resources.timeout_minutes * 60
        self._patience = {
            Phase.STARTING: max(timeout, STARTUP_SECONDS),
            Phase.TRAINING: timeout,
            Phase.LEAVING: LEAVE_SECONDS,
            Phase.KILLED: math.inf,
        }
        self._trials: dict[str, LiveTrial] = {}

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        self._trials[trial.trial_id] = LiveTrial(Phase.STARTING, time.monotonic())

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: Mapping[str, Any]) -> str:
        live = self._trials[trial.trial_id]
        report = Report.load(result)
        assignment = self._coordinator.live.get(trial.trial_id)
        stop = self._coordinator.on_report(trial.trial_id, report)
        if live.phase in (Phase.LEAVING, Phase.KILLED):
            return self.CONTINUE if report.state == "running" else self.STOP
        if stop and assignment is not None and assignment.task.workers > 1 and report.state == "running":
            # Ended from here it would abandon its workers; it ends by itself when they have left.
            request = ask_to_leave(assignment.task, report.seed)
            self._trials[trial.trial_id] = LiveTrial(Phase.LEAVING, time.monotonic(), request)
            never_again(trial)  # should it die before, it is over all the same
            return self.CONTINUE
        self._trials[trial.trial_id] = LiveTrial(Phase.TRAINING, time.monotonic())
        return self.STOP if stop else self.CONTINUE

    def on_trial_complete(self, tune_controller: TuneController, trial: Trial, result: Mapping[str, Any]) -> None:
        self._trials.pop(trial.trial_id, None)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Also called where Tune is about to start the trial again, which then is not lost."""
        if trial.status == Trial.PENDING and trial.trial_id in self._coordinator.live:
            # A process that had served another trial was to serve this one, and was dead, as where its node was lost
            # meanwhile. Tune starts no trial again that had not begun: it is handed out as a new one.
            self._trials.pop(trial.trial_id, None)
            self._coordinator.leave(trial.trial_id)
            return
        if is_started_again(trial):
            return
        self._trials.pop(trial.trial_id, None)
        self._coordinator.on_worker_lost(trial.trial_id, _death(trial))

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Called in each round of Tune's loop, which makes it the place to look for silent trials."""
        self._coordinator.tick()
        self._on_round()
        live = live_trials(tune_controller)
        for trial in live:
            if trial.trial_id in self._coordinator.leaving:
                self._let_leave(trial)
            if trial.status == Trial.RUNNING:
                self._end_if_out_of_patience(trial)
            elif trial.status == Trial.PENDING:
                self._trials[trial.trial_id] = LiveTrial(Phase.STARTING, time.monotonic())
        # As FIFOScheduler's, which looks through all trials that ever were.
        order = {trial_id: place for place, trial_id in enumerate(self._trials)}
        pending = [trial for trial in live if trial.status == Trial.PENDING]
        return min(pending, key=lambda trial: order.get(trial.trial_id, len(order)), default=None)

    def _let_leave(self, trial: Trial) -> None:
        """Asks the workers of a trial to save and leave, once; one that has no worker yet has left."""
        live = self._trials.get(trial.trial_id)
        if trial.status == Trial.PENDING:
            self._coordinator.leave(trial.trial_id)
        elif live is not None and live.phase in (Phase.STARTING, Phase.TRAINING):
            task = self._coordinator.live[trial.trial_id].task
            requests = [ask_to_leave(task, run["seed"]) for run in task.runs]
            self._trials[trial.trial_id] = LiveTrial(Phase.LEAVING, time.monotonic(), requests)

    def _end_if_out_of_patience(self, trial: Trial) -> None:
        live, actor = self._trials.get(trial.trial_id), actor_of(trial)
        if live is None or actor is None or (silent := time.monotonic() - live.since) <= self._patience[live.phase]:
            return
        if live.phase is not Phase.LEAVING:
            if trial.trial_id not in self._coordinator.live:
                return
            self._coordinator.on_worker_lost(trial.trial_id, _silence(live.phase, silent))
            never_again(trial)  # it would hang again
        self._trials[trial.trial_id] = LiveTrial(Phase.KILLED, time.monotonic())
        ray.kill(actor)


def _silence(phase: Phase, seconds: float) -> str:
    reason = f"hung: no sign of life for {seconds / 60:.1f} minutes"
    if phase is Phase.TRAINING:
        return reason
    return (
        f"{reason} before its first step; where teacher features take that long to compute, do so "
        "beforehand (dalr features) or raise resources.timeout_minutes"
    )


def _death(trial: Trial) -> str:
    """Why a worker's process ended, in one line."""
    text = death_of(trial)
    if "running low on memory" in text or "OutOfMemoryError" in text:
        return f"out of memory: {text[:300]}"
    _, _, cause = text.partition("The actor is dead because ")
    return f"its worker died: {(cause or text)[:300]}"
