"""Decides what runs next and what becomes of it. Knows neither Ray nor processes: Tune's searcher and
scheduler (`dalr.sweeps.execution.tune_adapter`) ask it for tasks and pass it reports; a test can do the same in a loop.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna
from optuna.storages import RDBStorage

from dalr.config.schema import RunConfig
from dalr.identity import Contents
from dalr.sweeps.search.budget import Budget
from dalr.sweeps.search.configs import final_config, search_config
from dalr.sweeps.search.finals import FinalRecord, FinalRuns
from dalr.sweeps.search.ranking import best_points
from dalr.sweeps.search.records import Intent, Report, State, Task, TrialRecord, fate_of, out_of_memory
from dalr.sweeps.search.requests import Request
from dalr.sweeps.search.study import RecipeStudy
from dalr.sweeps.search.study_storage import SweepStorage, one_event
from dalr.sweeps.search.tasks import Place, TaskMaker
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

    `out` is the sweep's folder on this machine, `uri` what the nodes know it by (None: the same path);
    `concurrent` is how many trials may run at once, `gpus` what a worker gets; `changed` is called after every
    trial that ends, `decided` before a task's worker hears that it ends, `listen` whenever a person's requests may
    be looked for.
    """

    def __init__(
        self,
        spec: SweepSpec,
        bases: dict[str, RunConfig],
        database: RDBStorage,
        out: str,
        *,
        uri: str | None = None,
        concurrent: int = 1,
        changed: Callable[[], object] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.out = out
        self.room = concurrent
        self.changed = changed
        self.storage = storage = SweepStorage(database)
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
        self.listen: Callable[[], object] = lambda: None
        self.decided: Callable[[Task, State, str | None], object] = lambda task, state, reason: None
        self.live: dict[str, Assignment] = {}
        self.leaving: dict[str, Intent] = {}
        """The tasks that are to save and leave their workers, by key, and what then becomes of them."""
        self.requests: tuple[Request, ...] = ()
        """What people have asked for, as it was last looked for."""
        self.paused = bool(self.record_study.user_attrs.get("paused"))
        self.ending = False
        self._queue: list[tuple[RecipeStudy, int]] = []
        for study in self.studies.values():
            for record in study.unfinished():
                self._requeue(study, record)
        self.labels: Mapping[str, str] = {}
        """Ray's label selector for the nodes of a trial's workers."""
        self._stopped = {recipe: study.stop_reason() for recipe, study in self.studies.items()}
        self._warm: set[str] = set()
        self._settled: Counter[str] = Counter()
        self._finals_planned = False
        self._now = now
        self._last_report: dict[str, float] = {}
        self._tasks = TaskMaker(spec, uri or out)
        self._budget = Budget(spec, next(iter(self.studies.values())).study, now)

    @property
    def record_study(self) -> optuna.Study:
        """The study that holds what belongs to the sweep as a whole."""
        return next(iter(self.studies.values())).study

    @property
    def concurrent(self) -> int:
        """How many trials may run at once."""
        return min(self.room, self.spec.resources.concurrent or self.room)

    def set_capacity(self, room: int, gpus: float) -> None:
        """Says how many trials fit at once and how many GPUs a worker has."""
        self.room, self._budget.gpus = room, gpus
        self.record_study.set_user_attr("gpus", gpus)

    @property
    def gpus(self) -> float:
        """The GPUs of one worker."""
        return self._budget.gpus

    def stopped(self) -> dict[str, str]:
        """The recipes whose search a rule of `stop` has ended, each with the rule in words."""
        return {recipe: reason for recipe, reason in self._stopped.items() if reason is not None}

    def tick(self) -> None:
        """Called every few seconds at least, whether or not a worker has anything to say."""
        self._budget.clock.save()
        self.listen()

    def stop_clock(self) -> None:
        """Writes the time down at the end of this start."""
        self._budget.clock.save(always=True)

    # Handing out

    @property
    def finished(self) -> bool:
        """Whether the search and its final runs are done, and nothing waits for a person."""
        return self._finals_planned and not self.live and not self.held() and not self._has_more_finals()

    @property
    def over(self) -> bool:
        """Whether this start has nothing more to do: all is done, or a person ended it and all workers have left."""
        return self.finished or (self.ending and not self.live)

    @one_event
    def finished_before(self) -> bool:
        """Whether an earlier start left nothing to do; plans the final runs if the search is over."""
        if self._search_over():
            self._plan_finals()
            return self.finished
        return False

    @one_event
    def next_task(self, key: str) -> Task | None:
        """A task for a new worker known as `key`; None where there is none now."""
        self.listen()
        if len(self.live) >= self.concurrent or self.paused or self.ending:
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
            study, number = self._queue.pop(0)
            return Assignment(study, number, self._task(study, study.get(number)))
        while (ready := self._next_study()) is not None:
            record = ready.next()
            if record.state == "running":
                self._settled[ready.recipe] = 0
                return Assignment(ready, record.number, self._task(ready, record))
            self._settled[ready.recipe] += record.state != "skipped"
            self.changed()
        return None

    def _next_study(self) -> RecipeStudy | None:
        """The recipe with the fewest trials of those that may have one more. Until its first trial has
        begun to train, a recipe has one alone: it fills the feature store that the others read. A recipe
        whose sampler waits for its first results is passed over."""
        open_studies = [study for study in self.studies.values() if self._may_go_on(study)]
        busy = {a.owner.recipe for a in self.live.values()}
        ready = [
            study
            for study in open_studies
            if study.can_sample(self.concurrent) and (study.recipe in self._warm or study.recipe not in busy)
        ]
        return min(ready, key=lambda study: study.size(), default=None)

    def _may_go_on(self, study: RecipeStudy) -> bool:
        return (
            study.has_next()
            and self.over_budget(study) is None
            and self._stopped[study.recipe] is None
            and self._settled[study.recipe] < MOST_SETTLED
        )

    def _search_over(self) -> bool:
        if any(isinstance(assignment.owner, RecipeStudy) for assignment in self.live.values()):
            return False
        return not self._queue and not self.held() and self._next_study() is None

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
        return self._tasks.make(record.name, study.recipe, study.points, record.point, record.runs, self._place())

    def _place(self) -> Place:
        return Place(self.gpus, dict(self.labels))

    def _final_task(self, runs: FinalRuns, record: FinalRecord) -> Task:
        return self._tasks.make(record.name, runs.recipe, runs.points, record.point, (record.run,), self._place())

    # Listening

    @one_event
    def on_report(self, key: str, report: Report) -> bool:
        """Takes a worker's report; True: the worker shall end this task now."""
        self.listen()
        assignment = self.live.get(key)
        if assignment is None:
            return True  # it was closed while the report was on its way
        owner, number = assignment.owner, assignment.number
        self._warm.add(owner.recipe)
        self._last_report[key] = self._now()
        self._budget.clock.save()
        owner.note(number, report)
        if report.state == "running" and (key in self.leaving or report.left):
            self.leave(key)
            return True
        ending = self._final_ending(report) if isinstance(owner, FinalRuns) else self._ending(owner, number, report)
        if ending is None:
            return False
        if not self._begins_again(key, *ending):
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

    @one_event
    def on_worker_lost(self, key: str, reason: str) -> None:
        """The worker of `key` is gone and will not come back: its task fails."""
        assignment = self.live.get(key)
        if assignment is not None:
            now = self._now()
            assignment.owner.add_seconds(assignment.number, now - self._last_report.get(key, now))
            if key in self.leaving:
                self.leave(key)
            elif not self._begins_again(key, "failed", reason):
                self._close(key, "failed", reason)

    def _begins_again(self, key: str, state: State, reason: str | None) -> bool:
        """Puts a trial that ran out of memory back into the queue, to train in smaller parts, where that is wanted
        and was not done before."""
        owner, number = self.live[key].owner, self.live[key].number
        if state != "failed" or not out_of_memory(reason) or self.spec.resources.on_oom != "accumulate":
            return False
        if not isinstance(owner, RecipeStudy) or (record := owner.in_smaller_parts(number)) is None:
            return False
        del self.live[key]
        self.leaving.pop(key, None)
        self._requeue(owner, record)
        return True

    def _close(self, key: str, state: State, reason: str | None) -> None:
        assignment = self.live[key]
        if isinstance(assignment.owner, RecipeStudy) and state == "failed" and self._may_be_others_doing(reason):
            assignment.owner.unsettle(assignment.number)
        del self.live[key]
        self.leaving.pop(key, None)
        self.decided(assignment.task, state, reason)
        assignment.owner.finish(assignment.number, state, reason)
        if isinstance(assignment.owner, RecipeStudy):
            self._stopped[assignment.owner.recipe] = assignment.owner.stop_reason()
        self._budget.clock.save()
        self.changed()

    def _may_be_others_doing(self, reason: str | None) -> bool:
        """Whether a trial ran out of memory that others used, too: not of a card that it has alone."""
        shared = self.gpus < 1 or "cuda" not in (reason or "").lower()
        return out_of_memory(reason) and len(self.live) > 1 and shared

    # By hand

    def held(self) -> list[TrialRecord]:
        """The trials that have left their workers until a person lets them go on."""
        at_work = {(a.owner.recipe, a.number) for a in self.live.values() if isinstance(a.owner, RecipeStudy)}
        held = (record for study in self.studies.values() for record in study.paused())
        return [record for record in held if (record.recipe, record.number) not in at_work]

    def study_of(self, number: int) -> RecipeStudy:
        """The study of a trial's number, whether the trial has begun or not."""
        studies = list(self.studies.values())
        return studies[number % len(studies)]

    def intend(self, number: int, intent: Intent | None) -> None:
        """Lets a trial that has begun be paused or stopped, or, with None, go on: at once where no worker has it,
        else after the worker's present step. The wish is in the database before anything acts on it."""
        study = self.study_of(number)
        record = study.intend(number, intent)
        key = next((k for k, a in self.live.items() if a.owner is study and a.number == number), None)
        if key is not None and intent is not None:
            self.leaving[key] = intent
            if intent == "stopped":
                self.decided(self.live[key].task, intent, "stopped by hand")
        elif key in self.leaving:
            self.leaving[key] = "paused"  # its workers may have heard: it leaves, and is handed out again
        elif key is None:
            self._queue = [(owner, other) for owner, other in self._queue if (owner, other) != (study, number)]
            self._requeue(study, record)
            self.changed()

    def _requeue(self, study: RecipeStudy, record: TrialRecord) -> None:
        """Decides what becomes of a trial that has begun and that no worker has."""
        if record.intent == "stopped":
            study.finish(record.number, "stopped", stopped_at(record))
        elif (fate := fate_of(record.runs)) is not None:
            study.finish(record.number, *fate)
        elif record.intent != "paused":
            self._queue.append((study, record.number))

    def all_leave(self) -> None:
        """Lets every task that runs save and leave, to go on later."""
        for key in self.live:
            self.leaving.setdefault(key, "paused")

    def set_paused(self, paused: bool) -> None:
        """Pauses the sweep, or lets it go on; it stays so over starts."""
        self.record_study.set_user_attr("paused", paused)
        self.paused = paused
        if paused:
            self.all_leave()

    def leave(self, key: str) -> None:
        """A task has left its worker before its end: it is over, waits, or is handed out again."""
        assignment, intent = self.live[key], self.leaving.pop(key, "paused")
        owner = assignment.owner
        if isinstance(owner, RecipeStudy) and intent == "stopped":
            self._close(key, "stopped", stopped_at(owner.get(assignment.number)))
            return
        del self.live[key]
        if isinstance(owner, FinalRuns):
            owner.release(assignment.number)
        else:
            self._requeue(owner, owner.get(assignment.number))
        self._budget.clock.save()

    def respecify(self, spec: SweepSpec) -> None:
        """Goes on with another budget, other stopping rules, resources or final runs."""
        self.spec = self._budget.spec = spec
        for recipe, study in self.studies.items():
            study.spec = self.finals[recipe].spec = spec
            self._stopped[recipe] = study.stop_reason()
        self._finals_planned = False

    # Budget

    def over_budget(self, study: RecipeStudy) -> str | None:
        """Which part of the time budget a recipe has used up; None: it has time left."""
        return self._budget.used_up(study.seconds())

    def hours_used(self) -> float:
        """Wall-clock hours of all starts of this sweep."""
        return self._budget.hours_used()


def stopped_at(record: TrialRecord) -> str:
    """Why a trial that a person stopped has ended."""
    return f"stopped by hand after step {max((run.steps for run in record.runs), default=0)}"
