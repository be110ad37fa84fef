"""A sweep on the terminal."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from dalr.progress import SECONDS_BETWEEN_LINES, repeated
from dalr.statistics.comparison import Comparison
from dalr.sweeps.analysis.outcome import SweepOutcome
from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.requests import ExtendedRun, Request
from dalr.sweeps.search.snapshot import SweepState
from dalr.sweeps.spec.schema import SweepSpec

_log = logging.getLogger(__name__)

SHOWN = 12
REFRESH_SECONDS = 2.0


@contextmanager
def live(state: Callable[[], SweepState], *, quiet: bool) -> Iterator[None]:
    """While the block runs: the state's table on a terminal; elsewhere, as in the log of a job, a line at the start,
    for each trial that ends, and whenever `SECONDS_BETWEEN_LINES` have passed without."""
    console = Console(stderr=True)
    if quiet:
        yield
    elif console.is_terminal:
        with (
            Live(table(state()), console=console, transient=True, auto_refresh=False) as display,
            _followed(lambda: display.update(table(state()), refresh=True)),
        ):
            yield
    else:
        with _followed(_Announcer(state).announce):
            yield


@contextmanager
def _followed(look: Callable[[], object]) -> Iterator[None]:
    """Calls `look` every few seconds while the block runs, and once when it ends."""
    try:
        with repeated(look, REFRESH_SECONDS):
            yield
    finally:
        look()


class _Announcer:
    """Logs each trial and final run that has ended since it looked last; where none has for a while, how it stands."""

    def __init__(self, state: Callable[[], SweepState]) -> None:
        self._state = state
        self._known = set(ended_lines(state()))
        self._written = -SECONDS_BETWEEN_LINES

    def announce(self) -> None:
        """Looks, and logs what is new."""
        state = self._state()
        new = ended_lines(state, self._known)
        self._known |= set(new)
        for line in new.values():
            _log.info("%s", line)
        now = time.monotonic()
        if new or now - self._written >= SECONDS_BETWEEN_LINES:
            self._written = now
            _log.info("%s; %s", counts_line(state), budget_line(state))


def ended_lines(state: SweepState, known: Collection[str] = ()) -> dict[str, str]:
    """A line for each ended trial and final run, by its name; those `known` are left out."""
    lines = {}
    for trial in state.trials:
        name = f"trial {trial.number}"
        if trial.state != "running" and name not in known:
            _, _, value, steps, _, point = row(trial)
            why = f" ({trial.reason})" if trial.reason else ""
            reached = f": {value}" if value else ""
            lines[name] = f"{name} {trial.state}, {steps} steps{reached}{why}; {point}"
    for record in state.finals:
        name = f"{record.name}, seed {record.run.seed}"
        if record.run.state != "running" and name not in known:
            value = "" if record.run.value is None else f": {record.run.value:.2f}"
            lines[name] = f"{name} {record.run.state}{value}"
    return lines


def plan_line(spec: SweepSpec, steps: int | None) -> str:
    """What a search will cost, before it starts: its trials, where they are stopped, and the steps."""
    trials = spec.budget.trials or len(spec.design() or ())
    parts = [f"{trials} trials" if trials else "trials until the budget's time is used up"]
    if steps:
        parts.append(f"of {steps} steps")
        rungs = spec.scheduler.rungs(steps)
        if rungs:
            parts.append(f"stopped early at steps {', '.join(map(str, rungs))}")
        expected = trials * spec.scheduler.expected_steps(steps)
        if trials:
            parts.append(
                f"about {expected:.0f} of {trials * steps} steps in all" if rungs else f"{expected:.0f} in all"
            )
    return ", ".join(parts).replace(", of", " of", 1)


def table(state: SweepState) -> RenderableType:
    """One line of counts, one of the budget, then the running trials and the best ones."""
    lines = [counts_line(state), budget_line(state)]
    grid = Table(box=None, pad_edge=False)
    for column in ("trial", "state", "value", "steps", "seeds", "point"):
        grid.add_column(column, justify="right" if column in ("trial", "value", "steps") else "left")
    running = [trial for trial in state.trials if trial.state == "running"]
    for trial in [*running, *state.best()][:SHOWN]:
        grid.add_row(*row(trial))
    return Group(*lines, grid)


def counts_line(state: SweepState) -> str:
    """How many trials are in which state, and the best value so far."""
    counts = state.counts
    by_hand = "".join(f", {counts[state]} {state}" for state in ("stopped", "skipped") if counts[state])
    ended = f"{counts['complete']} complete, {counts['pruned']} pruned, {counts['failed']} failed{by_hand}"
    best = state.best()
    value = f"; best {state.spec.metric[0]} {best[0].values[0]:.2f} (trial {best[0].number})" if best else ""
    paused = sum(trial.paused for trial in state.trials)
    waits = f" ({paused} paused)" if paused else ""
    return f"{sum(counts.values())} trials: {ended}, {counts['running']} running{waits}{value}"


def budget_line(state: SweepState) -> str:
    """What is used up of the budget, and the time left at the pace so far."""
    used = state.used()
    parts = [f"{state.hours:.2f} hours so far"]
    if used is not None:
        parts.insert(0, f"{used:.0%} of the budget used")
    left = state.hours_left()
    if left is not None and used is not None and used < 1:
        parts.append(f"about {left:.2f} hours left")
    done = sum(record.run.state != "running" for record in state.finals)
    if state.finals:
        parts.append(f"{done} of {len(state.finals)} final runs done")
    parts += [f"{recipe} ended early: {reason}" for recipe, reason in state.stopped_by]
    parts += ["the sweep is paused (dalr sweep resume lets it go on)"] if state.paused else []
    return ", ".join(parts)


def row(trial: TrialRecord) -> list[str]:
    """A trial in six cells."""
    value = trial.values[0] if trial.values else trial.best_so_far
    return [
        str(trial.number),
        "paused" if trial.paused else trial.state,
        "" if value is None else f"{value:.2f}",
        str(sum(run.steps for run in trial.runs)),
        ",".join(str(run.seed) for run in trial.runs),
        point_text(trial),
    ]


def point_text(trial: TrialRecord) -> str:
    """`learning_rate=0.0003 pair_every=1`: of each path as much of its end as tells it apart, and its value."""
    return " ".join(f"{ending(path, trial.point)}={short(value)}" for path, value in trial.point.items())


def ending(path: str, paths: Collection[str]) -> str:
    """The shortest end of a path, in whole parts, that no other one of `paths` has."""
    parts = path.split(".")
    ends = (".".join(parts[-count:]) for count in range(1, len(parts)))
    others = [f".{other}" for other in paths if other != path]
    return next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), path)


def short(value: object) -> str:
    """A value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def request_lines(requests: Sequence[Request]) -> list[str]:
    """A line for each request of a person: when, who, what, and what became of it."""
    return [
        f"{request.asked_at} UTC, {request.by}: {request.words}: {request.state}"
        + (f": {request.answer}" if request.answer else ", not answered yet")
        for request in requests
    ]


def extension_text(spec: SweepSpec, longer: Sequence[ExtendedRun]) -> str:
    """What the longer runs of a trial have reached: the mean over seeds of their best scores."""
    values = [run.value for run in longer if run.value is not None]
    if not values:
        return f"{longer[0].steps} steps, never evaluated"
    return f"{spec.metric[0]} {fmean(values):.2f} after {longer[0].steps} steps"


def extensions(state: SweepState) -> list[str]:
    """One line for each trial that was trained on after its end."""
    return [
        f"trial {number} was extended: {extension_text(state.spec, longer)}; {state.out}/extended/trial-{number:04d}"
        for number, longer in sorted(state.extensions.items())
    ]


def failures(state: SweepState) -> list[str]:
    """One line for each failed trial."""
    return [f"trial {trial.number} failed: {trial.reason}" for trial in state.trials if trial.state == "failed"]


def best_lines(outcome: SweepOutcome) -> list[str]:
    """The winner, what the final runs showed of it, what mattered, and what to beware of."""
    if outcome.best is None:
        return ["no trial is complete yet"]
    best, spec = outcome.best, outcome.state.spec
    values = ", ".join(f"{name} {value:.2f}" for name, value in zip(spec.metric, best.values, strict=True))
    lines = [f"best: trial {best.number} of {best.recipe}, by the search: {values}", f"  {point_text(best)}"]
    if len(spec.metric) > 1:
        lines.append(f"Pareto front: trials {', '.join(str(trial.number) for trial in outcome.state.front())}")
    lines += extensions(outcome.state)
    lines += [each.sentence() for each in outcome.comparisons if each.family != "tasks"]
    lines += [f"  {each.ours}, {_line(each)}" for each in outcome.comparisons if each.family == "tasks"]
    if not outcome.comparisons and spec.arms:
        lines.append(f"dalr report {outcome.state.out} compares the arms on the test tasks and tests their contrasts")
    elif not outcome.comparisons:
        lines.append(f"not tested against the base recipe{_why_untested(outcome.state)}")
    lines += equal_budget_lines(outcome)
    mattered = [each for each in outcome.importances if each.recipe == best.recipe]
    if mattered:
        step = mattered[0].step
        lines.append("importance of each path" + (f" for the score after {step} steps:" if step else ":"))
    lines += [f"  {each.path}: {each.share:.0%} ({each.low:.0%} to {each.high:.0%})" for each in mattered]
    lines += [f"warning: {warning}" for warning in outcome.warnings]
    return [*lines, f"its config: {outcome.best_config}"]


def _line(comparison: Comparison) -> str:
    """The same in short, of a score that does not decide."""
    return f"{comparison.score}: {comparison.amount}, which {comparison.finding}"


def _why_untested(state: SweepState) -> str:
    if not state.spec.seeds.final:
        return ": its value is the best of many noisy ones; seeds.final=3 adds the test to this sweep"
    failed = sum(record.run.state == "failed" for record in state.finals)
    return f": {failed} final runs failed" if failed else " yet: that is done when the search has ended"


def equal_budget_lines(outcome: SweepOutcome) -> list[str]:
    """Where several recipes were searched: what each is expected to reach with the budget of all."""
    last = {row["recipe"]: row for row in outcome.equal_budget}
    return [
        f"{recipe}: expected best of {row['trials']} trials ({row['steps']:.0f} steps, {row['seconds']:.0f} s): "
        f"{row['expected_best']:.2f}"
        for recipe, row in last.items()
    ]
