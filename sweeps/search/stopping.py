"""Rules that end a recipe's search before its budget does: each looks at the trials so far, by number."""

from collections.abc import Sequence

from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.spec.parts import PlateauSpec, StopSpec


def stop_reason(stop: StopSpec, trials: Sequence[TrialRecord], *, maximize: bool) -> str | None:
    """The first rule that says stop, in words; None: the search goes on. Only the first metric counts, and
    only complete, feasible trials have a value."""
    sign = 1.0 if maximize else -1.0
    values = [
        (trial.number, sign * trial.values[0])
        for trial in trials
        if trial.state == "complete" and trial.values and not trial.violation
    ]
    if stop.target is not None and (reached := _target(values, sign * stop.target)) is not None:
        return f"trial {reached} reached the target of {stop.target:g}"
    if stop.plateau is not None and (best := _plateau(values, stop.plateau)) is not None:
        least = f" by {stop.plateau.min_improvement:g}" if stop.plateau.min_improvement else ""
        return f"{stop.plateau.trials} complete trials in a row were not better than trial {best}{least}"
    if stop.failures is not None and (reason := _failures(trials, stop.failures)) is not None:
        return f"{stop.failures} trials in a row failed, the last with: {reason}"
    return None


def _target(values: Sequence[tuple[int, float]], target: float) -> int | None:
    return next((number for number, value in values if value >= target), None)


def _plateau(values: Sequence[tuple[int, float]], plateau: PlateauSpec) -> int | None:
    """The best trial, where the last `plateau.trials` complete ones have not improved on it."""
    best: tuple[int, float] | None = None
    since = 0
    for number, value in values:
        if best is None or value > best[1] + plateau.min_improvement:
            best, since = (number, value), 0
        else:
            since += 1
    return best[0] if best is not None and since >= plateau.trials else None


def _failures(trials: Sequence[TrialRecord], count: int) -> str | None:
    """The last reason, where the last `count` trials that were run and that nobody stopped have all failed."""
    run = [trial for trial in trials if trial.state not in ("running", "stopped") and trial.runs]
    last = run[-count:]
    if len(last) < count or any(trial.state != "failed" for trial in last):
        return None
    return last[-1].reason or "no reason given"
