"""What a sweep may spend, and has spent over all its starts."""

import time
from collections.abc import Callable

import optuna

from dalr.sweeps.spec.schema import SweepSpec


class Budget:
    """The time part of a sweep's budget. `study` keeps the wall clock; `gpus` is what a worker gets."""

    def __init__(self, spec: SweepSpec, study: optuna.Study, now: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self.clock = WallClock(study, now)
        self.gpus = spec.resources.gpus or 0.0

    def hours_used(self) -> float:
        """Wall-clock hours of all starts of the sweep."""
        return self.clock.seconds() / 3600

    def gpu_hours(self, seconds: float) -> float:
        """The GPU-hours that so many seconds of trials cost."""
        return seconds * self.spec.resources.workers * self.gpus / 3600

    def used_up(self, seconds: float) -> str | None:
        """Which part of the budget is used up, for a recipe whose trials took so many seconds; None: time is left."""
        hours, gpu_hours = self.spec.budget.hours, self.spec.budget.gpu_hours
        if hours is not None and self.hours_used() >= hours:
            return f"the budget of {hours:g} hours is used up"
        if gpu_hours is not None and self.gpu_hours(seconds) >= gpu_hours:
            return f"the budget of {gpu_hours:g} GPU-hours is used up"
        return None


class WallClock:
    """Seconds that a sweep has run, over all its starts, kept in a study."""

    SAVE_EVERY = 10.0

    def __init__(self, study: optuna.Study, now: Callable[[], float]) -> None:
        self._study, self._now = study, now
        self._before = float(study.user_attrs.get("wall_seconds", 0.0))
        self._began = self._saved = now()

    def seconds(self) -> float:
        """All seconds so far."""
        return self._before + self._now() - self._began

    def save(self, *, always: bool = False) -> None:
        """Writes the time down, at most every 10 s; a kill loses no more than that."""
        if always or self._now() - self._saved >= self.SAVE_EVERY:
            self._study.set_user_attr("wall_seconds", self.seconds())
            self._saved = self._now()
