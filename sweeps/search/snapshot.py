"""What a sweep has come to, as plain values: read from its folder, or from the sweep that runs here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy

from dalr.errors import InputError
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.database import close_storage, database_url, open_storage, quiet_optuna
from dalr.sweeps.search.finals import FinalRecord
from dalr.sweeps.search.plan import SKIPPED, Plan
from dalr.sweeps.search.ranking import best_points, pareto_front
from dalr.sweeps.search.records import TrialRecord, run_name
from dalr.sweeps.search.requests import ExtendedRun, Request, extensions_in, requests_in
from dalr.sweeps.search.spec_file import saved_spec
from dalr.sweeps.search.stored_trials import StoredStudies
from dalr.sweeps.search.study_schema import name_among, stored_name
from dalr.sweeps.spec.database_url import without_password
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

    @cached_property
    def extensions(self) -> Mapping[int, tuple[ExtendedRun, ...]]:
        """The trials that were trained on after their end (`dalr sweep extend`), each seed's longer run."""
        return extensions_in(self.requests)

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
        if recipe is None:
            return self._best
        return best_points([t for t in self.trials if t.recipe == recipe], maximize=self.maximize)

    @cached_property
    def _best(self) -> list[TrialRecord]:
        return best_points(self.trials, maximize=self.maximize)

    def front(self) -> list[TrialRecord]:
        """With several metrics, the complete points that no other one beats in all of them."""
        return pareto_front(self.best(), self.spec.directions)

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


def final_runs(state: SweepState) -> list[str]:
    """The names of the folders of the final runs that have begun."""
    return [run_name(record.name, record.run.seed) for record in state.finals if record.run.attempt]


def trial_runs(state: SweepState, number: int) -> list[str]:
    """The names of the folders of a trial's runs.

    Raises:
        InputError: there is no such trial.
    """
    trial = state.trial(number)
    return [run_name(trial.name, run.seed) for run in trial.runs]


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
        requests=coordinator.requests,
    )


def read_state(out: Path, *, scores: bool = True) -> SweepState:
    """The state of the sweep in a folder, running or not; without `scores`, which take the longest to read, the
    trials' evaluations by step are left out.

    Raises:
        InputError: the folder holds no sweep, or a database that cannot be read.
    """
    spec = saved_spec(out)
    quiet_optuna()
    if spec.storage is None and not (Path(out) / "study.db").is_file():
        return SweepState(Path(out), spec, (), (), 0.0, 0.0)
    storage = open_storage(database_url(spec, out))
    try:
        with closing(StoredStudies(storage.engine)) as studies:
            return _stored_state(Path(out), spec, studies, scores=scores)
    except sqlalchemy.exc.DatabaseError as error:
        reason = " ".join(str(error.orig).split())[:200]
        raise InputError(f"storage: cannot read {without_password(spec.storage)} of {out}: {reason}") from error
    finally:
        close_storage(storage)


def _stored_state(out: Path, spec: SweepSpec, studies: StoredStudies, *, scores: bool) -> SweepState:
    trials: list[TrialRecord] = []
    finals: list[FinalRecord] = []
    attributes: dict[str, Any] = {}
    plans: dict[str, Plan] = {}
    stopped: dict[str, str] = {}
    for index, recipe in enumerate(spec.recipe):
        name = name_among(studies, spec, recipe)
        if name in studies:
            own = studies.attributes(name)
            attributes = {**own, **attributes}
            if reason := own.get("stopped_by"):
                stopped[recipe] = reason
            rows = studies.rows(name)
            plans[recipe] = Plan.of(spec, rows, own.get(SKIPPED, ()))
            trials += studies.trials(name, rows, recipe, index=index, count=len(spec.recipe), scores=scores)
        if f"{name}-final" in studies:
            finals += studies.finals(f"{name}-final", spec, recipe)
    return SweepState(
        out,
        spec,
        _by_number(trials),
        tuple(finals),
        attributes.get("wall_seconds", 0.0) / 3600,
        attributes.get("gpus", 0.0),
        tuple(stopped.items()),
        plans,
        bool(attributes.get("paused")),
        tuple(requests_in(attributes)),
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
