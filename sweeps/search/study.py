"""One recipe's search as an Optuna study: the only record of what was tried, and its single writer.

Every change is in the database before anything acts on it, so a sweep that is killed at any moment
goes on from here: finished trials are known, unfinished ones are handed out again under their number.
"""

import math
from dataclasses import replace

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.identity import Contents
from dalr.sweeps.search.plan import SKIPPED, Plan
from dalr.sweeps.search.points import PointRuns
from dalr.sweeps.search.pruners import make_pruner, should_prune
from dalr.sweeps.search.records import Intent, Report, State, TrialRecord
from dalr.sweeps.search.samplers import make_sampler
from dalr.sweeps.search.study_schema import check_base, check_search, name_metrics, stored_name, trial_record
from dalr.sweeps.search.trial_table import TrialTable
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Point, draw

TEACHING: dict[str, tuple[State, ...]] = {
    "tpe": ("complete", "pruned"),
    "multivariate_tpe": ("complete", "pruned"),
    "gp": ("complete",),
    "cmaes": ("complete",),
}
"""The trials from which each sampler that learns does so; the others draw without results."""

SKIPPED_REASON = "skipped by hand"


class RecipeStudy:
    """The trials of one recipe. `index` of `count` recipes decides the numbers: trial n of this study
    is trial n·count + index of the sweep. `contents` knows the data and models that trials read."""

    def __init__(
        self,
        spec: SweepSpec,
        recipe: str,
        base: RunConfig,
        storage: BaseStorage,
        *,
        contents: Contents,
        index: int = 0,
        count: int = 1,
    ) -> None:
        self.spec = spec
        self.recipe = recipe
        self.base = base
        self.points = PointRuns(spec, base, contents)
        self._index, self._count = index, count
        self._study = optuna.create_study(
            storage=storage,
            study_name=stored_name(storage, spec, recipe),
            directions=list(spec.directions),
            sampler=make_sampler(spec.sampler, spec.searched),
            pruner=make_pruner(spec.scheduler, base.train.steps),
            load_if_exists=True,
        )
        name_metrics(self._study, list(spec.metric))
        check_search(self._study, spec)
        self._of_earlier_version = check_base(self._study, recipe, contents.identity(base))
        # The database has one writer, this object, so what it read once it need not read again.
        known = self._study.get_trials(deepcopy=False)
        trials = [t for t in known if t.state != TrialState.WAITING]
        self.plan = Plan.of(spec, known, self._study.user_attrs.get(SKIPPED, ()))
        maximize = spec.directions[0] == "maximize"
        self._records = TrialTable(maximize=maximize, first_seed=base.train.seed)
        for trial in trials:
            self._records[trial.number] = trial_record(trial, recipe, self._global(trial.number))
        self._cut_off = {t.number: t._trial_id for t in trials if t.state == TrialState.RUNNING}
        self._live: dict[int, optuna.Trial] = {}
        self._stopped_by = self._study.user_attrs.get("stopped_by")
        if self._of_earlier_version:
            for trial in trials:
                self._records[trial.number] = self._with_point_id(self._records[trial.number])

    def _with_point_id(self, record: TrialRecord) -> TrialRecord:
        """The record with the name that this version gives its point, so that points that are alike are found."""
        try:
            return replace(record, point_id=self.points.identity(record.point).setting)
        except InputError:
            return record  # never run: its config is invalid

    # What there is

    def trials(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return self._records.by_number()

    def seconds(self) -> float:
        """Wall seconds that all trials took."""
        return self._records.seconds

    def size(self) -> int:
        """How many trials there are, in any state."""
        return len(self._records)

    def has_next(self) -> bool:
        """Whether the design and the budget's trials allow one more."""
        limit, skipped = self.spec.budget.trials, self.plan.skipped_trials
        within = limit is None or self.size() - skipped < limit
        return within and self.plan.point(self.size()) is not None

    def can_sample(self, at_once: int = 1) -> bool:
        """Whether the next point need not wait for the results of those that run: a sampler that learns
        would draw at random until `startup` trials have taught it. So many are begun, or as many as may run
        `at_once`: a place that stands empty costs more than a random point."""
        taught = TEACHING.get(self.spec.sampler.name, ())
        if not taught or self.plan.point(self.size()):
            return True
        counts, startup = self._records.counts, self.spec.sampler.startup
        ended = sum(counts[state] for state in taught)
        return ended >= startup or ended + counts["running"] < max(startup, at_once)

    def stop_reason(self) -> str | None:
        """Which rule of `stop` has ended the search, in words; None where none has. The study remembers it."""
        reason = self._records.stop_reason(self.spec.stop)
        if reason != self._stopped_by:
            self._study.set_user_attr("stopped_by", reason)
            self._stopped_by = reason
        return reason

    @property
    def study(self) -> optuna.Study:
        """The study itself, for importances and dashboards."""
        return self._study

    def _global(self, number: int) -> int:
        return number * self._count + self._index

    def _local(self, number: int) -> int:
        return number // self._count

    # Handing out

    def unfinished(self) -> list[TrialRecord]:
        """Trials that were running when the sweep last ended, ready to go on under their numbers.

        One that was cut off while its point was drawn gets the point it would have had."""
        opened = [self._open(optuna.Trial(self._study, trial_id)) for trial_id in self._cut_off.values()]
        self._cut_off = {}
        return [record for record in opened if record.state == "running"]

    def next(self) -> TrialRecord:
        """A new trial with its point; there must be one (`has_next`).

        A point whose config is invalid fails at once, and one that was already stopped or failed is
        told what became of it: neither is run, and the record says so.
        """
        assert self.has_next(), "asked for a trial beyond the last"
        point = self.plan.point(self.size())
        if point and not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial(point)
        return self._open(self._study.ask())

    def _open(self, trial: optuna.Trial) -> TrialRecord:
        local = trial.number
        self._live[local] = trial
        if local not in self._records or not self._records[local].runs:
            self._records[local] = TrialRecord(
                self._global(local), self.recipe, draw(self.spec.searched, trial), "", "running", (),
                added=trial.user_attrs.get("added"), intent=trial.user_attrs.get("intent"),
            )  # fmt: skip
            if self.plan.is_skipped(local):
                self._finish(local, "skipped", SKIPPED_REASON)
            else:
                self._plan_runs(local)
        elif self._of_earlier_version:
            self._renew_fingerprints(local)
        return self._records[local]

    def _renew_fingerprints(self, local: int) -> None:
        """Gives the runs that an earlier version began, and that go on now, the fingerprints of this one."""
        record = self._records[local]
        self._write(local, replace(record, runs=self.points.of_this_version(record.point, record.runs)))

    def _plan_runs(self, local: int) -> None:
        """Chooses the seeds, or finishes the trial on the spot."""
        record = self._records[local]
        try:
            identity = self.points.identity(record.point)
        except InputError as error:
            self._finish(local, "failed", f"the point's config is invalid: {error}")
            return
        history = self._records.history(identity.setting)
        settled = history.settled
        record = replace(record, point_id=identity.setting)
        if settled is None:
            count = 1 if history.trials else self.spec.seeds.per_trial
            searched = "train.seed" in self.spec.settings(record.point)
            seeds = [identity.config.train.seed] if searched else history.fresh_seeds(count)
            record = replace(record, runs=tuple(self.points.run(record.point, seed) for seed in seeds))
        self._write(local, record, plan=True)
        if settled is not None:
            number, state = settled
            self._finish(local, state, f"same point as trial {number}, which was {state}")

    def _write(self, local: int, record: TrialRecord, *, plan: bool = False) -> None:
        """Database first, memory second. `runs` is written last: it says that the plan is whole."""
        trial = self._live[local]
        if plan:
            trial.set_user_attr("trial", record.number)
            trial.set_user_attr("values", record.point)
            trial.set_user_attr("point_id", record.point_id)
        if record.reason is not None:
            trial.set_user_attr("reason", record.reason)
        trial.set_user_attr("runs", [run.dump() for run in record.runs])
        self._records[local] = record

    # By hand

    def add(self, point: Point, request: str) -> int:
        """Lets the next trial have these values (those left out are drawn), as a request wanted; its number."""
        self._study.enqueue_trial(point, user_attrs={"added": request})
        local = self._study.get_trials(deepcopy=False)[-1].number
        self.plan.add(local, point, request)
        return self._global(local)

    def skip(self, number: int) -> None:
        """Lets a trial that has not begun pass without being run, when its turn comes."""
        self.plan.skip(self._local(number))
        self._study.set_user_attr(SKIPPED, self.plan.skipped())

    def intend(self, number: int, intent: Intent | None) -> TrialRecord:
        """Writes down what a person wants of a trial that has begun; None: that it goes on."""
        local = self._local(number)
        self._live[local].set_user_attr("intent", intent)
        self._records[local] = replace(self._records[local], intent=intent)
        return self._records[local]

    def added_by(self, request: str) -> int | None:
        """The number of the trial that a request has added; None where it has not."""
        local = next((number for number, known in self.plan.added.items() if known.request == request), None)
        return None if local is None else self._global(local)

    def is_skipped(self, number: int) -> bool:
        """Whether a trial passes without being run."""
        return self.plan.is_skipped(self._local(number))

    def find(self, number: int) -> TrialRecord | None:
        """A trial by its number in the sweep; None where it has not begun."""
        return self._records.get(self._local(number))

    def get(self, number: int) -> TrialRecord:
        """A trial that has begun, by its number in the sweep."""
        return self._records[self._local(number)]

    def paused(self) -> list[TrialRecord]:
        """The trials that are to wait, or wait, until a person lets them go on."""
        return [record for record in map(self._records.__getitem__, self._live) if record.paused]

    # Taking note

    def note(self, number: int, report: Report) -> None:
        """Writes a worker's report down; intermediate scores of the first seed go to the pruner."""
        local = self._local(number)
        record = self._records[local]
        runs = tuple(run.at(report) if run.seed == report.seed else run for run in record.runs)
        self._write(local, replace(record, runs=runs))
        if self.spec.scheduler.name == "wilcoxon" and report.state == "complete":
            self._note_score(local, report.seed, report.values[0])  # by seed: so are the points compared
        if runs[0].seed == report.seed:
            if self.spec.scheduler.name != "wilcoxon":
                self._note_score(local, report.step, report.score)
            if report.state == "complete":
                self._note_constraints(local, report)

    def _note_score(self, local: int, step: int, score: float | None) -> None:
        """A resumed run passes some steps twice; the first score of a step stands."""
        record = self._records[local]
        if len(self.spec.metric) == 1 and score is not None and step not in record.scores:
            self._live[local].report(score, step)
            self._records[local] = replace(record, scores={**record.scores, step: score})

    def _note_constraints(self, local: int, report: Report) -> None:
        measured = {**report.metrics, "seconds": self._records[local].runs[0].seconds}
        for name, bound in self.spec.constraints.items():
            if math.isfinite(measured.get(name, math.nan)):
                violation = bound.violation(measured[name])
                self._live[local].set_constraint(name, violation)
                record = self._records[local]
                self._records[local] = replace(record, violation=record.violation + max(0.0, violation))

    def add_seconds(self, number: int, seconds: float) -> None:
        """Charges a trial for time that no report covers."""
        local = self._local(number)
        record = self._records[local]
        at_work = next((run.seed for run in record.runs if run.state == "running"), None)
        runs = (replace(r, seconds=r.seconds + seconds) if r.seed == at_work else r for r in record.runs)
        self._records[local] = replace(record, runs=tuple(runs))

    def should_stop(self, number: int, report: Report) -> bool:
        """Whether the scheduler stops the trial after this report. The last step is never stopped: it
        saves nothing."""
        if report.score is None or report.step >= report.total or not self.spec.scheduler.by_steps:
            return False
        local = self._local(number)
        return self._records[local].runs[0].seed == report.seed and should_prune(self._live[local])

    def passes_racing(self, number: int) -> bool:
        """Whether a trial whose first k seeds are done gets another one: if it is among the best third by their
        mean, or, with the scheduler `wilcoxon`, not worse than the best one; always, where seeds are not raced."""
        if self.spec.scheduler.name == "wilcoxon":
            return not should_prune(self._live[self._local(number)])
        return not self.spec.seeds.race or self._records.is_ahead(self._local(number))

    def unsettle(self, number: int) -> None:
        """Notes that a trial fails for a reason which says nothing of its point."""
        local = self._local(number)
        self._live[local].set_user_attr("settles", False)
        self._records[local] = replace(self._records[local], settles=False)

    def in_smaller_parts(self, number: int) -> TrialRecord | None:
        """Lets a trial begin again, the runs that are not complete, with `train.accumulate` doubled; None where that
        was done before, or makes no valid config."""
        local = self._local(number)
        smaller = self.points.in_smaller_parts(self._records[local])
        if smaller is not None:
            self._write(local, smaller, plan=True)
        return smaller

    def finish(self, number: int, state: State, reason: str | None = None) -> TrialRecord:
        """Closes a trial: `complete` with the mean over its seeds, `pruned`, or `failed` with a reason."""
        local = self._local(number)
        self._finish(local, state, reason)
        return self._records[local]

    def _finish(self, local: int, state: State, reason: str | None) -> None:
        record = self._records[local]
        values = record.values
        if state == "complete" and (len(values) != len(self.spec.metric) or not all(map(math.isfinite, values))):
            state, reason = "failed", reason or "no score was reported: nothing was evaluated"
        runs = tuple(run if run.state != "running" else replace(run, state=state, reason=reason) for run in record.runs)
        begun = tuple(run for run in runs if run.attempt) or runs[:1]  # the race did not reach the others
        self._write(local, replace(record, runs=begun, reason=reason))
        if state in ("stopped", "skipped"):  # for samplers it has failed: it says nothing of its point
            self._live[local].set_user_attr("ended", state)
            self.plan.skipped_trials += state == "skipped"
        outcome = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(state, TrialState.FAIL)
        self._study.tell(self._live.pop(local), list(values) if state == "complete" else None, state=outcome)
        self._records[local] = replace(self._records[local], state=state)
