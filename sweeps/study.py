"""One recipe's search as an Optuna study: the only record of what was tried, and its single writer.

Every change is in the database before anything acts on it, so a sweep that is killed at any moment
goes on from here: finished trials are known, unfinished ones are handed out again under their number.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from dalr.config import RunConfig
from dalr.errors import InputError
from dalr.overrides import validated, with_overrides
from sweeps.records import Report, RunRecord, State, TrialRecord
from sweeps.samplers import make_pruner, make_sampler
from sweeps.space import Point, draw
from sweeps.spec import SweepSpec

STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class RecipeStudy:
    """The trials of one recipe. `index` of `count` recipes decides the numbers: trial n of this study
    is trial n·count + index of the sweep."""

    def __init__(
        self, spec: SweepSpec, recipe: str, base: RunConfig, storage: BaseStorage, *, index: int = 0, count: int = 1
    ) -> None:
        self.spec = spec
        self.recipe = recipe
        self.base = base
        self._index, self._count = index, count
        self._study = optuna.create_study(
            storage=storage,
            study_name=study_name(spec, recipe),
            directions=list(spec.directions),
            sampler=make_sampler(spec.sampler, spec.space),
            pruner=make_pruner(spec.scheduler),
            load_if_exists=True,
        )
        name_metrics(self._study, list(spec.metric))
        self._design = spec.design()
        self._storage = storage
        self._ids: dict[int, int] = {}
        self._live: dict[int, optuna.Trial] = {}

    # What there is

    def trials(self) -> list[TrialRecord]:
        """Every trial, by number, as the database has it."""
        return [self._record(trial) for trial in self._frozen()]

    def _frozen(self) -> list[FrozenTrial]:
        return [t for t in self._study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        attrs = trial.user_attrs
        violations = [value for key, value in trial.system_attrs.items() if key.startswith("constraints:")]
        return TrialRecord(
            number=self._global(trial.number),
            recipe=self.recipe,
            point=dict(attrs.get("values", trial.params)),
            point_id=attrs.get("point_id", ""),
            state=STATES[trial.state],
            runs=tuple(RunRecord.load(run) for run in attrs.get("runs", [])),
            reason=attrs.get("reason"),
            violation=sum(max(0.0, value) for value in violations),
        )

    def _global(self, number: int) -> int:
        return number * self._count + self._index

    def _local(self, number: int) -> int:
        return number // self._count

    def size(self) -> int:
        """How many trials there are, in any state."""
        return len(self._frozen())

    def has_next(self) -> bool:
        """Whether the design and the budget's trials allow one more."""
        return self._given_point(self.size()) is not None

    # Handing out

    def unfinished(self) -> list[TrialRecord]:
        """Trials that were running when the sweep last ended, ready to go on under their numbers.

        One that was cut off while its point was drawn gets the point it would have had."""
        found = []
        for trial in self._frozen():
            if trial.state == TrialState.RUNNING and trial.number not in self._live:
                found.append(self._open(optuna.Trial(self._study, trial._trial_id)))
        return [record for record in found if record.state == "running"]

    def next(self) -> TrialRecord:
        """A new trial with its point; there must be one (`has_next`).

        A point whose config is invalid fails at once, and one that was already stopped or failed is
        told what became of it: neither is run, and the record says so.
        """
        number = len(self._frozen())
        point = self._given_point(number)
        assert point is not None, "asked for a trial beyond the last"
        if point and not any(t.state == TrialState.WAITING for t in self._study.get_trials(deepcopy=False)):
            self._study.enqueue_trial(point)
        return self._open(self._study.ask())

    def _given_point(self, number: int) -> Point | None:
        """The values that trial `number` must have; empty: drawn; None: there is no such trial."""
        limit = self.spec.budget.trials
        if limit is not None and number >= limit:
            return None
        if self._design is not None:
            return self._design[number] if number < len(self._design) else None
        return self.spec.try_first[number] if number < len(self.spec.try_first) else {}

    def _open(self, trial: optuna.Trial) -> TrialRecord:
        self._live[trial.number] = trial
        if "runs" not in trial.user_attrs:
            point = draw(self.spec.space, trial)
            trial.set_user_attr("trial", self._global(trial.number))
            trial.set_user_attr("recipe", self.recipe)
            trial.set_user_attr("values", point)
            self._plan_runs(trial, point)
        return self._record(self._get(trial.number))

    def _plan_runs(self, trial: optuna.Trial, point: Point) -> None:
        """Chooses the seeds, or finishes the trial on the spot."""
        try:
            config = self.config(point, None)
        except InputError as error:
            trial.set_user_attr("runs", [])
            self._finish(trial.number, "failed", f"the point's config is invalid: {error}")
            return
        point_id = with_overrides(config, {"train.seed": 0}).fingerprint()
        twins = [t for t in self.trials() if t.point_id == point_id and self._local(t.number) != trial.number]
        trial.set_user_attr("point_id", point_id)
        settled = next((twin for twin in twins if twin.state in ("pruned", "failed")), None)
        if settled is not None:
            trial.set_user_attr("runs", [])
            self._finish(
                trial.number, settled.state, f"same point as trial {settled.number}, which was {settled.state}"
            )
            return
        used = {run.seed for twin in twins for run in twin.runs}
        wanted = self.spec.seeds.per_trial if not twins else 1
        seeds = [config.train.seed] if "train.seed" in point else self._fresh_seeds(used, wanted)
        runs = [RunRecord(seed, self.config(point, seed).fingerprint()).dump() for seed in seeds]
        trial.set_user_attr("runs", runs)

    def _fresh_seeds(self, used: set[int], wanted: int) -> list[int]:
        seeds: list[int] = []
        candidate = self.base.train.seed
        while len(seeds) < wanted:
            if candidate not in used:
                seeds.append(candidate)
            candidate += 1
        return seeds

    def config(self, point: Mapping[str, Any], seed: int | None) -> RunConfig:
        """The config of a run at `point`; `seed` None keeps the recipe's or the point's."""
        return run_config(self.base.dump(), point, seed)

    # Taking note

    def note(self, number: int, report: Report) -> TrialRecord:
        """Writes a worker's report down; intermediate scores of the first seed go to the pruner."""
        local = self._local(number)
        record = self._record(self._get(local))
        runs = tuple(run.at(report) if run.seed == report.seed else run for run in record.runs)
        self._live[local].set_user_attr("runs", [run.dump() for run in runs])
        first = bool(runs) and runs[0].seed == report.seed
        if first and len(self.spec.metric) == 1:
            self._note_score(local, report)
        if report.state == "complete":
            self._note_constraints(local, report, first=first)
        return replace(record, runs=runs)

    def _note_score(self, local: int, report: Report) -> None:
        """A resumed run passes some steps twice; the first score of a step stands."""
        new = report.step not in self._get(local).intermediate_values
        if report.score is not None and math.isfinite(report.score) and new:
            self._live[local].report(report.score, report.step)

    def _note_constraints(self, local: int, report: Report, *, first: bool) -> None:
        known = self._get(local).system_attrs
        measured = {**report.metrics, "seconds": report.seconds}
        for name, bound in self.spec.constraints.items():
            if first and f"constraints:{name}" not in known and math.isfinite(measured.get(name, math.nan)):
                self._live[local].set_constraint(name, bound.violation(measured[name]))

    def should_stop(self, number: int, report: Report) -> bool:
        """Whether the scheduler stops the trial after this report. The last step is never stopped: it
        saves nothing."""
        if report.score is None or report.step >= report.total or len(self.spec.metric) > 1:
            return False
        local = self._local(number)
        record = self._record(self._get(local))
        return record.runs[0].seed == report.seed and self._live[local].should_prune()

    def deserves_next_seed(self, number: int) -> bool:
        """Whether a trial whose first k seeds are done is among the best third by their mean; always,
        where seeds are not raced."""
        if not self.spec.seeds.race:
            return True
        record = self._record(self._get(self._local(number)))
        done = [run.value for run in record.runs if run.state == "complete" and run.value is not None]
        rivals = []
        for other in self.trials():
            values = [run.value for run in other.runs if run.state == "complete" and run.value is not None]
            if other.number != number and len(values) >= len(done):
                rivals.append(sum(values[: len(done)]) / len(done))
        mine = sum(done) / len(done)
        better = sum(rival > mine for rival in rivals)
        return better < max(1, math.ceil((len(rivals) + 1) / 3))

    def finish(self, number: int, state: State, reason: str | None = None) -> TrialRecord:
        """Closes a trial: `complete` with the mean over its seeds, `pruned`, or `failed` with a reason."""
        local = self._local(number)
        self._finish(local, state, reason)
        return self._record(self._get(local))

    def _finish(self, local: int, state: State, reason: str | None) -> None:
        record = self._record(self._get(local))
        trial = self._live.pop(local)
        values = record.values
        if state == "complete" and (len(values) != len(self.spec.metric) or not all(map(math.isfinite, values))):
            state, reason = "failed", reason or "no score was reported: nothing was evaluated"
        runs = [run if run.state != "running" else replace(run, state=state, reason=reason) for run in record.runs]
        runs = [run for run in runs if run.attempt] or runs[:1]  # the others were never begun
        trial.set_user_attr("runs", [run.dump() for run in runs])
        if reason is not None:
            trial.set_user_attr("reason", reason)
        outcome = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[state]
        self._study.tell(trial, list(values) if state == "complete" else None, state=outcome)

    def _get(self, local: int) -> FrozenTrial:
        if local not in self._ids:
            self._ids = {t.number: t._trial_id for t in self._study.get_trials(deepcopy=False)}
        return self._storage.get_trial(self._ids[local])

    @property
    def optuna(self) -> optuna.Study:
        """The study itself, for importances and dashboards."""
        return self._study


def name_metrics(study: optuna.Study, names: list[str]) -> None:
    """Shows the metrics' names on the dashboard. Optuna marks the method as experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(names)


def study_name(spec: SweepSpec, recipe: str) -> str:
    """One study for each recipe and search: two different searches never share one."""
    return f"{recipe.replace('/', '_')}-{spec.study_key()}"


def run_config(base: Mapping[str, Any], point: Mapping[str, Any], seed: int | None) -> RunConfig:
    """The complete config of a run: `base` with the point's values and the seed.

    Raises:
        InputError: the values contradict each other.
    """
    overrides = dict(point)
    if seed is not None and "train.seed" not in point:
        overrides["train.seed"] = seed
    return with_overrides(validated(base), overrides)


def best_points(trials: Sequence[TrialRecord], *, maximize: bool) -> list[TrialRecord]:
    """The complete, feasible trials by their first metric, best first, one for each point: identical
    points count as one, its value the mean over all their seeds. Ties: the earlier trial."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if trial.state == "complete" and not trial.violation and trial.values:
            groups.setdefault(trial.point_id, []).append(trial)
    merged = [replace(group[0], runs=tuple(run for t in group for run in t.runs)) for group in groups.values()]
    return sorted(merged, key=lambda t: (-t.values[0] if maximize else t.values[0], t.number))
