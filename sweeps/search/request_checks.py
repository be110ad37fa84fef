"""Which requests make sense, given how a sweep stands: asked by the command before it writes one down, and by the
sweep before it obeys one, as much may have happened in between.
"""

from collections.abc import Mapping
from typing import Any

from dalr.errors import InputError, did_you_mean
from dalr.sweeps.search.in_force import respecified
from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.requests import Request
from dalr.sweeps.search.snapshot import SweepState
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Point

RECIPE = "recipe"
"""The word of `add` that says which recipe's search gets the trial, where there are several."""


def check_request(state: SweepState, request: Request) -> None:
    """Refuses a request that makes no sense.

    Raises:
        InputError: in one line, with what would make sense.
    """
    match request.action, request.trial:
        case "pause", None if state.paused:
            raise InputError(f"{state.out}: the sweep is paused; dalr sweep resume {state.out} lets it go on")
        case "resume", None if not state.paused:
            raise InputError(f"{state.out}: the sweep is not paused")
        case "stop" | "pause" | "resume" as action, int(number):
            _check_begun(state, action, number)
        case "skip", int(number):
            _check_waiting(state, number)
        case "add", _:
            _check_room(state, added_point(state.spec, request.values)[0])
        case "set", _:
            respecified(state.spec, request.values)


def _check_begun(state: SweepState, action: str, number: int) -> None:
    record = state.find(number)
    if record is None:
        _check_exists(state, number)
        raise InputError(f"trial {number} has not begun; dalr sweep skip {state.out} {number} leaves it out")
    if record.state != "running":
        raise InputError(f"trial {number} has ended ({_fate(record)}): there is nothing to {action}")
    if action == "pause" and record.paused:
        raise InputError(f"trial {number} is paused; dalr sweep resume {state.out} {number} lets it go on")
    if action == "resume" and not record.paused:
        raise InputError(f"trial {number} is not paused")


def _check_waiting(state: SweepState, number: int) -> None:
    record = state.find(number)
    if record is not None and record.state == "running":
        raise InputError(f"trial {number} has begun; dalr sweep stop {state.out} {number} ends it")
    if record is not None:
        raise InputError(f"trial {number} has ended ({_fate(record)}): there is nothing to skip")
    _check_exists(state, number)
    recipe, local = state.place(number)
    if state.plans[recipe].is_skipped(local):
        raise InputError(f"trial {number} is going to be skipped already")
    if not state.plans[recipe].point(local):
        raise InputError(
            f"trial {number} has no point yet: it is drawn when its turn comes, from the results until then"
        )


def _check_exists(state: SweepState, number: int) -> None:
    """Refuses a number that no trial will have."""
    recipe, local = state.place(number)
    limit = state.spec.budget.trials
    plan = state.plans[recipe]
    if plan.point(local) is None or (limit is not None and local - plan.skipped_trials >= limit):
        last = max((trial.number for trial in state.trials), default=None)
        raise InputError(f"{state.out}: no trial {number}" + (f" (trials: 0 to {last})" if last is not None else ""))


def _check_room(state: SweepState, recipe: str) -> None:
    ended = dict(state.stopped_by).get(recipe)
    if ended is not None:
        raise InputError(f"the search of {recipe} has ended: {ended}; set another stop first (dalr sweep set)")
    plan, limit = state.plans[recipe], state.spec.budget.trials
    begun = [trial for trial in state.trials if trial.recipe == recipe and trial.state != "skipped"]
    waiting = len(plan.added) - sum(trial.added is not None for trial in state.trials if trial.recipe == recipe)
    if limit is not None and len(begun) + waiting >= limit:
        raise InputError(
            f"the budget of {limit} trials is used up; dalr sweep set {state.out} budget.trials={limit + 1} first"
        )


def added_point(spec: SweepSpec, values: Mapping[str, Any]) -> tuple[str, Point]:
    """The recipe and the values of a point that `add` names.

    Raises:
        InputError: a path or value that does not lie in the space; no recipe, where there are several.
    """
    recipe = values.get(RECIPE, spec.recipe[0])
    if recipe not in spec.recipe or (RECIPE not in values and len(spec.recipe) > 1):
        raise InputError(f"add: say which search gets the trial: recipe=NAME, one of {', '.join(spec.recipe)}")
    point: Point = {}
    for path, value in values.items():
        if path == RECIPE:
            continue
        if path not in spec.searched:
            hint = did_you_mean(path, spec.searched)
            raise InputError(f"add: {path} is not searched{hint} (the space: {', '.join(spec.searched)})")
        dimension = spec.searched[path]
        if not dimension.contains(value):
            raise InputError(f"add: {path}: {value!r} does not lie in the space ({dimension.range_text})")
        point[path] = float(value) if dimension.values is None else value
    if not point:
        raise InputError("add: give at least one value, as in optim.learning_rate=3e-4; what is left out is drawn")
    for path in point:
        if not spec.searched[path].applies(point):
            needs = ", ".join(f"{other}={values}" for other, values in spec.searched[path].when.items())
            raise InputError(f"add: {path} is searched only where {needs}; give that, too")
    return recipe, point


def _fate(record: TrialRecord) -> str:
    return f"{record.state}: {record.reason}" if record.reason else record.state
