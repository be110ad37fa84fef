"""Decides what runs next and what becomes of it. Knows neither Ray nor processes: Tune's searcher and
scheduler (`dalr.sweeps.execution.tune_adapter`) ask it for tasks and pass it reports; a test can do the same in a loop.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from optuna.storages import BaseStorage

from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.identity import Contents
from dalr.sweeps.search.finals import FinalRecord, FinalRuns
from dalr.sweeps.search.records import Report, State, Task, TrialRecord
from dalr.sweeps.search.study import RecipeStudy, best_points, run_config
from dalr.sweeps.spec.schema import SweepSpec

Owner = RecipeStudy | FinalRuns

MOST_SETTLED = 100
"""After so many points in a row that need no run (known or invalid ones) a space counts as used up."""


@dataclass(frozen=True)
class Assignment:
    """A task that some worker has: whose it is, and its number there."""

    owner: Owner
    number: int
    task: Task


class Coordinator:
    """One sweep: its recipes' studies, their final runs, the budget and what runs now.

    `concurrent` is how many trials may run at once, `gpus` what a worker gets; `changed` is called
    after every trial that ends.
    """

    def __init__(
        self,
        spec: SweepSpec,
        bases: dict[str, RunConfig],
        storage: BaseStorage,
        out: str,
        *,
        concurrent: int = 1,
        changed: Callable[[], object] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.out = out
        self.concurrent = concurrent
        self.gpus = spec.resources.gpus or 0.0
        self.changed = changed
        self.contents = Contents()
        count = len(bases)
        self.studies = {
            recipe: RecipeStudy(
                spec, recipe, search_config(spec, base), storage, contents=self.contents, index=index, count=count
            )
            for index, (recipe, base) in enumerate(bases.items())
        }
        self.finals = {
            recipe: FinalRuns(spec, recipe, final_config(spec, base), storage, contents=self.contents)
            for recipe, base in bases.items()
        }
        self.live: dict[str, Assignment] = {}
        self._queue = [(study, record) for study in self.studies.values() for record in study.unfinished()]
        self._stopped = {recipe: study.stop_reason() for recipe, study in self.studies.items()}
        self._warm: set[str] = set()
        self._settled: Counter[str] = Counter()
        self._finals_planned = False
        self._now = now
        self._last_report: dict[str, float] = {}
        self._clock = WallClock(next(iter(self.studies.values())), now)

    def set_capacity(self, concurrent: int, gpus: float) -> None:
        """Says how many trials fit at once and how many GPUs a worker has."""
        self.concurrent, self.gpus = concurrent, gpus
        next(iter(self.studies.values())).study.set_user_attr("gpus", gpus)

    def stopped(self) -> dict[str, str]:
        """The recipes whose search a rule of `stop` has ended, each with the rule in words."""
        return {recipe: reason for recipe, reason in self._stopped.items() if reason is not None}

    def tick(self) -> None:
        """Called every few seconds at least, whether or not a worker has anything to say."""
        self._clock.save()

    def stop_clock(self) -> None:
        """Writes the time down at the end of this start."""
        self._clock.save(always=True)

    # Handing out

    @property
    def finished(self) -> bool:
        """Whether the search and its final runs are done."""
        return not self.live and self._finals_planned and not self._has_more_finals()

    def finished_before(self) -> bool:
        """Whether an earlier start left nothing to do; plans the final runs if the search is over."""
        if self._search_over():
            self._plan_finals()
            return self.finished
        return False

    def next_task(self, key: str) -> Task | None:
        """A task for a new worker known as `key`; None where there is none now."""
        if len(self.live) >= self.concurrent:
            return None
        assignment = self._next_search()
        if assignment is None and self._search_over():
            assignment = self._next_final()
        if assignment is None:
            return None
        self.live[key] = assignment
        return assignment.task

    def _next_search(self) -> Assignment | None:
        if self._queue:
            unfinished, record = self._queue.pop(0)
            return Assignment(unfinished, record.number, self._task(unfinished, record))
        while (study := self._next_study()) is not None:
            record = study.next()
            if record.state == "running":
                self._settled[study.recipe] = 0
                return Assignment(study, record.number, self._task(study, record))
            self._settled[study.recipe] += 1
            self.changed()
        return None

    def _next_study(self) -> RecipeStudy | None:
        """The recipe with the fewest trials of those that may have one more. Until its first trial has
        begun to train, a recipe has one alone: it fills the feature store that the others read. A recipe
        whose sampler waits for its first results is passed over."""
        if self._out_of_hours():
            return None
        open_studies = [study for study in self.studies.values() if self._may_go_on(study)]
        busy = {a.owner.recipe for a in self.live.values()}
        ready = [
            study
            for study in open_studies
            if study.can_sample() and (study.recipe in self._warm or study.recipe not in busy)
        ]
        return min(ready, key=lambda study: study.size(), default=None)

    def _may_go_on(self, study: RecipeStudy) -> bool:
        return (
            study.has_next()
            and not self._out_of_gpu_hours(study)
            and self._stopped[study.recipe] is None
            and self._settled[study.recipe] < MOST_SETTLED
        )

    def _search_over(self) -> bool:
        if any(isinstance(assignment.owner, RecipeStudy) for assignment in self.live.values()):
            return False
        return not self._queue and self._next_study() is None

    def _next_final(self) -> Assignment | None:
        self._plan_finals()
        for runs in self.finals.values():
            record = runs.next()
            if record is not None:
                return Assignment(runs, record.number, self._final_task(runs, record))
        return None

    def _plan_finals(self) -> None:
        if self._finals_planned:
            return
        for recipe, study in self.studies.items():
            best = best_points(study.trials(), maximize=self.spec.directions[0] == "maximize")
            if self.spec.seeds.final and best:
                self.finals[recipe].plan(best[: self.spec.seeds.final_top])
        self._finals_planned = True

    def _has_more_finals(self) -> bool:
        return any(record.run.state == "running" for runs in self.finals.values() for record in runs.records())

    def _task(self, study: RecipeStudy, record: TrialRecord) -> Task:
        return self._make_task(
            f"trial-{record.number:04d}", study.recipe, study.base, record.point, [run.dump() for run in record.runs]
        )

    def _final_task(self, runs: FinalRuns, record: FinalRecord) -> Task:
        return self._make_task(record.name, runs.recipe, runs.base, record.point, [record.run.dump()])

    def _make_task(self, name: str, recipe: str, base: RunConfig, point: dict, runs: list[dict]) -> Task:
        resources, spec = self.spec.resources, self.spec
        wanted = dict.fromkeys([*spec.metric[1:], *spec.constraints])
        settings = spec.settings(point)
        return Task(
            name=name,
            out=self.out,
            recipe=recipe,
            base=base.dump(),
            point=settings,
            contents=dict(self.contents.identity(run_config(base.dump(), settings, None)).contents),
            runs=runs,
            metrics=list(spec.metric),
            extra_metrics=[metric for metric in wanted if metric not in ("seconds", spec.metric[0])],
            workers=resources.workers,
            cpus=resources.cpus,
            gpus=self.gpus,
        )

    # Listening

    def on_report(self, key: str, report: Report) -> bool:
        """Takes a worker's report; True: the worker shall end this task now."""
        assignment = self.live.get(key)
        if assignment is None:
            return True  # it was closed while the report was on its way
        owner, number = assignment.owner, assignment.number
        self._warm.add(owner.recipe)
        self._last_report[key] = self._now()
        self._clock.save()
        owner.note(number, report)
        ending = self._final_ending(report) if isinstance(owner, FinalRuns) else self._ending(owner, number, report)
        if ending is None:
            return False
        self._close(key, *ending)
        return True

    def _final_ending(self, report: Report) -> tuple[State, str | None] | None:
        return None if report.state == "running" else (report.state, report.reason)

    def _ending(self, study: RecipeStudy, number: int, report: Report) -> tuple[State, str | None] | None:
        """The state in which a trial ends with this report, and why; None: it goes on."""
        if report.state == "failed":
            return "failed", report.reason
        if report.state == "complete":
            goes_on = not report.last and not self.over_budget(study) and study.passes_racing(number)
            return None if goes_on else ("complete", None)
        if report.score is None:
            return None
        budget = self.over_budget(study)
        if budget:
            return "pruned", f"stopped at step {report.step}: {budget}"
        if study.should_stop(number, report):
            return "pruned", f"stopped at step {report.step} by {self.spec.scheduler.name}: behind earlier trials"
        return None

    def on_worker_lost(self, key: str, reason: str) -> None:
        """The worker of `key` is gone and will not come back: its task fails."""
        assignment = self.live.get(key)
        if assignment is not None:
            now = self._now()
            assignment.owner.add_seconds(assignment.number, now - self._last_report.get(key, now))
            self._close(key, "failed", reason)

    def _close(self, key: str, state: State, reason: str | None) -> None:
        assignment = self.live.pop(key)
        assignment.owner.finish(assignment.number, state, reason)
        if isinstance(assignment.owner, RecipeStudy):
            self._stopped[assignment.owner.recipe] = assignment.owner.stop_reason()
        self._clock.save()
        self.changed()

    # Budget

    def over_budget(self, study: RecipeStudy) -> str | None:
        """Which part of the time budget a recipe has used up; None: it has time left."""
        if self._out_of_hours():
            return f"the budget of {self.spec.budget.hours:g} hours is used up"
        if self._out_of_gpu_hours(study):
            return f"the budget of {self.spec.budget.gpu_hours:g} GPU-hours is used up"
        return None

    def _out_of_hours(self) -> bool:
        hours = self.spec.budget.hours
        return hours is not None and self.hours_used() >= hours

    def _out_of_gpu_hours(self, study: RecipeStudy) -> bool:
        limit = self.spec.budget.gpu_hours
        return limit is not None and self.gpu_hours_used(study) >= limit

    def hours_used(self) -> float:
        """Wall-clock hours of all starts of this sweep."""
        return self._clock.seconds() / 3600

    def gpu_hours_used(self, study: RecipeStudy) -> float:
        """GPU-hours of a recipe's trials over all starts."""
        return sum(trial.seconds for trial in study.trials()) * self.spec.resources.workers * self.gpus / 3600


class WallClock:
    """Seconds that a sweep has run, over all its starts, kept in a study."""

    SAVE_EVERY = 10.0

    def __init__(self, study: RecipeStudy, now: Callable[[], float]) -> None:
        self._study, self._now = study.study, now
        self._before = float(self._study.user_attrs.get("wall_seconds", 0.0))
        self._began = self._saved = now()

    def seconds(self) -> float:
        """All seconds so far."""
        return self._before + self._now() - self._began

    def save(self, *, always: bool = False) -> None:
        """Writes the time down, at most every 10 s; a kill loses no more than that."""
        if always or self._now() - self._saved >= self.SAVE_EVERY:
            self._study.set_user_attr("wall_seconds", self.seconds())
            self._saved = self._now()


def search_config(spec: SweepSpec, base: RunConfig) -> RunConfig:
    """The config of a search trial before its point: judged by the spec's first metric; test tasks are for arms,
    which are compared and not chosen among."""
    judged = with_overrides(base, {"evaluation.metric": spec.metric[0]})
    return judged if spec.arms else with_overrides(judged, {"evaluation.tasks": ()})


def final_config(spec: SweepSpec, base: RunConfig) -> RunConfig:
    """The config of a final run before its point: its test tasks are scored when it ends."""
    return with_overrides(base, {"evaluation.metric": spec.metric[0]})
