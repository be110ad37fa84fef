"""Keeps a sweep from filling the disk: what an ended trial no longer needs is removed."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dalr.errors import InputError, argument
from dalr.sweeps.search.records import run_name

if TYPE_CHECKING:  # a trial's process does without the study's libraries
    from dalr.sweeps.search.snapshot import SweepState

KEPT_MODELS = 3
"""So many best points keep their exported model (or `seeds.final_top`, if that is more)."""
GRACE_SECONDS = 60.0
"""A stopped worker may still be writing its last checkpoint."""

LEAST_FREE = 2**30
"""Bytes: below this a sweep does not start. A BERT's checkpoint with its optimizer takes more."""


def check_space(out: Path) -> None:
    """Refuses a disk that is about to be full.

    Raises:
        InputError: less than `LEAST_FREE` is free.
    """
    free = shutil.disk_usage(out).free
    if free < LEAST_FREE:
        raise InputError(
            f"{argument('out')}: only {free / 1e9:.1f} GB are free in {out}; trials need {LEAST_FREE / 1e9:.1f} or more"
        )


class DiskKeeper:
    """Removes the checkpoints and models of ended trials, but for the best, which may be trained on. Of a trial that
    was stopped by hand the checkpoint stays. Configs, metrics and provenance stay. `remove` is given a run's name and
    those of folders in it."""

    def __init__(self, remove: Callable[..., object], now: Callable[[], float] = time.monotonic) -> None:
        self._remove = remove
        self._now = now
        self._ended: dict[int, float] = {}
        self._gone: set[int] = set()

    def tidy(self, state: "SweepState", *, at_once: bool = False) -> None:
        """Removes what may go; `at_once` where no worker is left."""
        kept = _keeping_models(state)
        for trial in state.trials:
            if trial.state == "running" or trial.number in self._gone:
                continue
            ended = self._ended.setdefault(trial.number, self._now())
            if not at_once and self._now() - ended < GRACE_SECONDS:
                continue
            if trial.number not in kept:
                gone = ("ray", "model", *(() if trial.state == "stopped" else ("checkpoints",)))
                for run in trial.runs:
                    self._remove(run_name(trial.name, run.seed), *gone)
                self._gone.add(trial.number)


def _keeping_models(state: "SweepState") -> set[int]:
    """The trials whose exported models stay."""
    if state.spec.keep_models == "all":
        return {trial.number for trial in state.trials}
    if state.spec.keep_models == "none":
        return set()
    return {trial.number for trial in state.best()[: max(KEPT_MODELS, state.spec.seeds.final_top)]}
