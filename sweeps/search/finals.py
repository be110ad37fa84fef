"""The final reruns: the best points and the base recipe, at full length, on seeds the search never saw.

They lie in a study of their own beside the search's, so that they neither teach the sampler nor
appear as trials. The same seeds for every candidate make the comparison a paired one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.evaluation.tasks import OWN
from dalr.identity import Contents
from dalr.sweeps.search.plan import PlannedTrial
from dalr.sweeps.search.points import PointRuns
from dalr.sweeps.search.records import Report, RunRecord, State, TrialRecord, fate_of
from dalr.sweeps.search.study_schema import name_metrics, stored_name
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Point

BASE = -1
"""The candidate number of the base recipe."""
FRESH = 1000
"""The first final seed lies this far above the recipe's own; a search with so many seeds a point would meet it."""
DEFAULT_TASKS = ("sts",)


@dataclass(frozen=True)
class FinalRecord:
    """One final run: trial `candidate`'s point (or `BASE`) with one fresh seed. `number` is its place
    among the recipe's final runs."""

    number: int
    recipe: str
    candidate: int
    point: Point
    run: RunRecord
    name: str
    """The first part of the run's folder."""


class FinalRuns:
    """The final runs of one recipe."""

    def __init__(
        self, spec: SweepSpec, recipe: str, base: RunConfig, storage: BaseStorage, *, contents: Contents
    ) -> None:
        self.spec = spec
        self.recipe = recipe
        self.plain_base = base
        default = (*(DEFAULT_TASKS if base.evaluation.data else ()), *((OWN,) if base.evaluation.custom else ()))
        tasks = base.evaluation.tasks or default
        self.base = with_overrides(base, {"evaluation.tasks": tasks})
        self.points = PointRuns(spec, self.base, contents)
        self._storage = storage
        self._name = f"{stored_name(storage, spec, recipe)}-final"
        self._live: set[int] = set()
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and (fate := fate_of([self._record(trial).run])) is not None:
                self.finish(trial.number, *fate)  # a kill came between its last report and its end

    @cached_property
    def _study(self) -> optuna.Study:
        """Made with the first run: a search without final runs leaves no second study behind."""
        study = optuna.create_study(
            storage=self._storage, study_name=self._name, direction=self.spec.directions[0], load_if_exists=True
        )
        name_metrics(study, [self.spec.metric[0]])
        return study

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        there = "_study" in vars(self) or self._name in optuna.get_all_study_names(self._storage)
        return self._study.get_trials(deepcopy=False) if there else []

    def seeds(self) -> list[int]:
        """The fresh seeds, the same for every candidate."""
        return [self.base.train.seed + FRESH + place for place in range(self.spec.seeds.final)]

    def plan(self, best: Sequence[TrialRecord]) -> None:
        """Notes the runs that `best` and the base recipe still lack. Runs of an earlier, shorter search
        stay: the same candidate and seed is never run twice."""
        candidates: list[tuple[int, Point]] = [(trial.number, trial.point) for trial in best]
        known = {(record.candidate, record.run.seed) for record in self.records()}
        for seed in self.seeds():
            for candidate, point in [(BASE, {}), *candidates]:
                if (candidate, seed) not in known:
                    run = self.points.run(point, seed)
                    attrs = {"candidate": candidate, "point": point, "run": run.dump()}
                    self._study.enqueue_trial({}, user_attrs=attrs)

    def records(self) -> list[FinalRecord]:
        """Every final run, planned, running or done."""
        return [self._record(trial) for trial in self._trials()]

    def _record(self, trial: optuna.trial.FrozenTrial) -> FinalRecord:
        return final_record(trial, self.spec, self.recipe)

    def next(self) -> FinalRecord | None:
        """A run to do: one that was cut off, or the next planned one."""
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and trial.number not in self._live:
                self._live.add(trial.number)
                return self._renewed(self._record(trial))
        if any(trial.state == TrialState.WAITING for trial in self._trials()):
            number = self._study.ask().number
            self._live.add(number)
            return self._renewed(self._get(number))
        return None

    def _renewed(self, record: FinalRecord) -> FinalRecord:
        """The record with the fingerprint that this version gives its run; an earlier one gave another."""
        (run,) = self.points.of_this_version(record.point, [record.run])
        return record if run == record.run else self._write(record, run)

    def _get(self, number: int) -> FinalRecord:
        return self._record(self._trials()[number])

    def note(self, number: int, report: Report) -> FinalRecord:
        """Writes a worker's report down."""
        record = self._get(number)
        return self._write(record, record.run.at(report))

    def _write(self, record: FinalRecord, run: RunRecord) -> FinalRecord:
        trial_id = self._trials()[record.number]._trial_id
        optuna.Trial(self._study, trial_id).set_user_attr("run", run.dump())
        return replace(record, run=run)

    def add_seconds(self, number: int, seconds: float) -> None:
        """Charges a run for time that no report covers."""
        record = self._get(number)
        self._write(record, replace(record.run, seconds=record.run.seconds + seconds))

    def release(self, number: int) -> None:
        """Lets a run that has left its worker be handed out again."""
        self._live.discard(number)

    def finish(self, number: int, state: State, reason: str | None = None) -> FinalRecord:
        """Closes a run."""
        record = self._get(number)
        record = self._write(record, replace(record.run, state=state, reason=reason or record.run.reason))
        self._live.discard(number)
        value: Any = record.run.value if state == "complete" else None
        self._study.tell(number, value, state=TrialState.COMPLETE if state == "complete" else TrialState.FAIL)
        return record


def final_record(trial: PlannedTrial, spec: SweepSpec, recipe: str) -> FinalRecord:
    """A final run as the database has it."""
    attrs = trial.user_attrs
    name = final_name(spec.short_name(recipe), attrs["candidate"])
    return FinalRecord(trial.number, recipe, attrs["candidate"], attrs["point"], RunRecord.load(attrs["run"]), name)


def final_name(recipe: str, candidate: int) -> str:
    """The first part of the folder of a final run; `recipe` is its short name."""
    return f"final-{recipe}-base" if candidate == BASE else f"final-{candidate:04d}"
