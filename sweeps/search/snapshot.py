"""What a sweep has come to, as plain values: read from its folder, or from the sweep that runs here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from dalr.errors import InputError
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.database import close_storage, database_url, open_storage, quiet_optuna
from dalr.sweeps.search.finals import FinalRecord, final_record
from dalr.sweeps.search.plan import SKIPPED, Plan
from dalr.sweeps.search.ranking import best_points
from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.requests import Request, requests_in
from dalr.sweeps.search.spec_file import saved_spec
from dalr.sweeps.search.study_schema import stored_name, trial_record
from dalr.sweeps.spec.schema import SweepSpec


@dataclass(frozen=True)
class SweepState:
    """Trials by number, final runs, wall-clock hours of all starts, and the GPUs of one worker."""

    out: Path
    spec: SweepSpec
    trials: tuple[TrialRecord, ...]
    finals: tuple[FinalRecord, ...]
    hours: float
    gpus: float
    stopped_by: tuple[tuple[str, str], ...] = ()
    """Each recipe whose search a rule of `stop` has ended, with the rule in words."""
    plans: Mapping[str, Plan] = field(default_factory=dict)
    """Each recipe's given points, where its study has begun."""
    paused: bool = False
    requests: tuple[Request, ...] = ()
    """What people have asked for, in the order of time."""

    @property
    def maximize(self) -> bool:
        """Whether a higher first metric is better."""
        return self.spec.directions[0] == "maximize"

    @property
    def counts(self) -> Counter[str]:
        """How many trials are in each state."""
        return Counter(trial.state for trial in self.trials)

    def best(self, recipe: str | None = None) -> list[TrialRecord]:
        """The complete points, best first, of one recipe or of all."""
        return best_points([t for t in self.trials if recipe in (None, t.recipe)], maximize=self.maximize)

    def front(self) -> list[TrialRecord]:
        """With several metrics, the complete points that no other one beats in all of them."""
        points = self.best()
        signs = [1 if direction == "maximize" else -1 for direction in self.spec.directions]

        def beats(first: TrialRecord, other: TrialRecord) -> bool:
            pairs = [(s * a, s * b) for s, a, b in zip(signs, first.values, other.values, strict=True)]
            return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

        return [point for point in points if not any(beats(other, point) for other in points)]

    def gpu_hours(self, recipe: str) -> float:
        """GPU-hours of a recipe's trials."""
        seconds = sum(trial.seconds for trial in self.trials if trial.recipe == recipe)
        return seconds * self.spec.resources.workers * self.gpus / 3600

    def used(self) -> float | None:
        """The share (0 to 1) of the budget that is used up, by whichever part is furthest; None where
        the budget has no end."""
        shares = self._shares()
        return min(1.0, max(shares)) if shares else None

    def _shares(self) -> list[float]:
        budget = self.spec.budget
        shares = []
        sizes = [plan.size() for plan in self.plans.values()] or [self._given()]
        wanted = [size for size in (budget.trials, max((size or 0) for size in sizes)) if size]
        if wanted:
            shares.append(self._ended() / (min(wanted) * len(self.spec.recipe)))
        if budget.hours:
            shares.append(self.hours / budget.hours)
        if budget.gpu_hours:
            shares += [self.gpu_hours(recipe) / budget.gpu_hours for recipe in self.spec.recipe]
        return shares

    def _given(self) -> int | None:
        design = self.spec.design()
        return None if design is None else len(design)

    def _ended(self) -> int:
        return sum(trial.state not in ("running", "skipped") for trial in self.trials)

    def hours_left(self) -> float | None:
        """The wall-clock hours that the search still takes at its pace so far; None before a trial has
        ended, when only the budget's own hours are known."""
        used = self.used()
        return self.hours * (1 - used) / used if used and self._ended() else None

    def place(self, number: int) -> tuple[str, int]:
        """The recipe of a trial's number, and the trial's number in the recipe's study."""
        recipes = self.spec.recipe
        return recipes[number % len(recipes)], number // len(recipes)

    def find(self, number: int) -> TrialRecord | None:
        """A trial by its number; None where it has not begun."""
        return next((trial for trial in self.trials if trial.number == number), None)

    def trial(self, number: int) -> TrialRecord:
        """One trial.

        Raises:
            InputError: there is no such trial.
        """
        record = self.find(number)
        if record is None:
            last = max((trial.number for trial in self.trials), default=None)
            raise InputError(f"{self.out}: no trial {number}" + (f" (trials: 0 to {last})" if last is not None else ""))
        return record


def state_of(coordinator: Coordinator) -> SweepState:
    """The state of a sweep that runs in this process."""
    trials = [trial for study in coordinator.studies.values() for trial in study.trials()]
    finals = [record for runs in coordinator.finals.values() for record in runs.records()]
    return SweepState(
        out=Path(coordinator.out),
        spec=coordinator.spec,
        trials=_by_number(trials),
        finals=tuple(finals),
        hours=coordinator.hours_used(),
        gpus=coordinator.gpus,
        stopped_by=tuple((recipe, reason) for recipe, reason in coordinator.stopped().items()),
        plans={recipe: study.plan for recipe, study in coordinator.studies.items()},
        paused=coordinator.paused,
    )


def read_state(out: Path) -> SweepState:
    """The state of the sweep in a folder, running or not.

    Raises:
        InputError: the folder holds no sweep.
    """
    spec = saved_spec(out)
    quiet_optuna()
    if spec.storage is None and not (Path(out) / "study.db").is_file():
        return SweepState(Path(out), spec, (), (), 0.0, 0.0)
    storage = open_storage(database_url(spec, out))
    try:
        trials: list[TrialRecord] = []
        finals: list[FinalRecord] = []
        attrs: dict[str, Any] = {}
        plans: dict[str, Plan] = {}
        stopped: dict[str, str] = {}
        for index, recipe in enumerate(spec.recipe):
            name, count = stored_name(storage, spec, recipe), len(spec.recipe)
            known = optuna.get_all_study_names(storage)
            if name in known:
                study = optuna.load_study(study_name=name, storage=storage)
                attrs = {**study.user_attrs, **attrs}
                if reason := study.user_attrs.get("stopped_by"):
                    stopped[recipe] = reason
                known_trials = study.get_trials(deepcopy=False)
                plans[recipe] = Plan.of(spec, known_trials, study.user_attrs.get(SKIPPED, ()))
                begun = [t for t in known_trials if t.state != TrialState.WAITING]
                trials += [trial_record(trial, recipe, trial.number * count + index) for trial in begun]
            if f"{name}-final" in known:
                study = optuna.load_study(study_name=f"{name}-final", storage=storage)
                finals += [final_record(trial, spec, recipe) for trial in study.get_trials(deepcopy=False)]
    finally:
        close_storage(storage)
    return SweepState(
        Path(out),
        spec,
        _by_number(trials),
        tuple(finals),
        attrs.get("wall_seconds", 0.0) / 3600,
        attrs.get("gpus", 0.0),
        tuple(stopped.items()),
        plans,
        bool(attrs.get("paused")),
        tuple(requests_in(attrs)),
    )


def studies_of(spec: SweepSpec, out: Path) -> dict[str, optuna.Study]:
    """Each recipe's study in Optuna, of those that have begun."""
    quiet_optuna()
    if spec.storage is None and not (Path(out) / "study.db").is_file():
        return {}
    storage = open_storage(database_url(spec, out))
    known = optuna.get_all_study_names(storage)
    names = {recipe: stored_name(storage, spec, recipe) for recipe in spec.recipe}
    return {
        recipe: optuna.load_study(study_name=name, storage=storage) for recipe, name in names.items() if name in known
    }


def _by_number(trials: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    return tuple(sorted(trials, key=lambda trial: trial.number))
