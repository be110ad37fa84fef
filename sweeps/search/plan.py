"""Which trials of a search have given points: a fixed design's, start points, and those that a person added."""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from optuna.trial import TrialState

from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Point

SKIPPED = "skipped"
"""The study's attribute that lists the skipped trials."""


class PlannedTrial(Protocol):
    """What the plan asks of a trial; `optuna.trial.FrozenTrial` has it."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> TrialState: ...
    @property
    def user_attrs(self) -> Mapping[str, Any]: ...
    @property
    def system_attrs(self) -> Mapping[str, Any]: ...
    @property
    def params(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Added:
    """A point that a person added, by the request that did."""

    point: Point
    request: str


@dataclass
class Plan:
    """The given points of one recipe by the trial's number in its study.

    `given` are those of the specification, in order; `added` has the added trials by their numbers.
    An added trial takes the number that is next when it is asked for, and the points of the specification move on
    by one. `endless`: whether points are drawn after the given ones. `skipped_trials` counts the trials that were
    skipped, which no budget counts.
    """

    given: Sequence[Point]
    endless: bool
    added: dict[int, Added] = field(default_factory=dict)
    skipped_trials: int = 0
    _skipped_places: set[int] = field(default_factory=set)
    _skipped_added: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, spec: SweepSpec, trials: Iterable[PlannedTrial], skipped: Iterable[str]) -> "Plan":
        """The plan of a study with these trials, waiting ones among them; `skipped` as `skipped()` gave it."""
        design = spec.design()
        plan = cls([dict(point) for point in spec.try_first] if design is None else design, endless=design is None)
        for trial in trials:
            if "added" in trial.user_attrs:
                waits = trial.state == TrialState.WAITING
                point = trial.system_attrs["fixed_params"] if waits else trial.params
                plan.add(trial.number, point, trial.user_attrs["added"])
            plan.skipped_trials += trial.user_attrs.get("ended") == "skipped"
        for name in skipped:
            kind, _, number = name.partition(" ")
            (plan._skipped_added if kind == "added" else plan._skipped_places).add(int(number))
        return plan

    def point(self, number: int) -> Point | None:
        """The values that trial `number` must have; empty: all are drawn; None: there is no such trial."""
        if number in self.added:
            return self.added[number].point
        place = self._place(number)
        return self.given[place] if place < len(self.given) else ({} if self.endless else None)

    def add(self, number: int, point: Mapping[str, Any], request: str) -> None:
        """Notes an added trial."""
        self.added[number] = Added(dict(point), request)

    def skip(self, number: int) -> None:
        """Notes that a trial with a given point is to pass without being run, wherever it will stand."""
        if number in self.added:
            self._skipped_added.add(number)
        else:
            self._skipped_places.add(self._place(number))

    def is_skipped(self, number: int) -> bool:
        """Whether a trial is to pass without being run."""
        return number in self._skipped_added if number in self.added else self._place(number) in self._skipped_places

    def skipped(self) -> list[str]:
        """What is to be skipped, for the database."""
        places = [f"given {place}" for place in sorted(self._skipped_places)]
        return places + [f"added {number}" for number in sorted(self._skipped_added)]

    def size(self) -> int | None:
        """How many trials there will be without a budget, the skipped ones left out; None: no end."""
        if self.endless:
            return None
        return len(self.given) + len(self.added) - len(self._skipped_places) - len(self._skipped_added)

    def _place(self, number: int) -> int:
        return number - bisect.bisect_left(sorted(self.added), number)
