"""The part of a specification that may change while a sweep runs, and what was set by hand instead of it."""

from collections.abc import Mapping
from typing import Any

import optuna
from pydantic import ValidationError

from dalr.errors import InputError, did_you_mean
from dalr.sweeps.spec.schema import SweepSpec
from dalr.validation import problems

SETTABLE = (
    "budget.trials",
    "budget.hours",
    "budget.gpu_hours",
    "stop.target",
    "stop.plateau",
    "stop.failures",
    "seeds.final",
    "seeds.final_top",
    "resources.concurrent",
    "keep_models",
)
SET = "set"
"""The study's attribute that holds what was set: key → [what the command said, what was set instead]."""


def respecified(spec: SweepSpec, values: Mapping[str, Any]) -> SweepSpec:
    """The specification with other values, by key.

    Raises:
        InputError: a key that cannot change while a sweep runs; a value that it does not take.
    """
    dumped = spec.dump()
    for key, value in values.items():
        if key not in SETTABLE:
            hint = did_you_mean(key, SETTABLE)
            raise InputError(f"{key} cannot be set while a sweep runs{hint} (these can: {', '.join(SETTABLE)})")
        part, _, name = key.partition(".")
        if name:
            dumped[part] = {**dumped.get(part, {}), name: value}
        else:
            dumped[part] = value
    try:
        return SweepSpec.model_validate(dumped)
    except ValidationError as error:
        raise InputError(problems(error)) from error


def value_of(spec: SweepSpec, key: str) -> Any:
    """The value of a key that can be set, as plain values; None where it is not set."""
    part, _, name = key.partition(".")
    value = spec.dump().get(part)
    return value.get(name) if name and isinstance(value, dict) else value


def remember(study: optuna.Study, given: SweepSpec, values: Mapping[str, Any]) -> None:
    """Writes down what was set instead of what the command `given` said."""
    known = study.user_attrs.get(SET, {})
    study.set_user_attr(SET, {**known, **{key: [value_of(given, key), value] for key, value in values.items()}})


def in_force(study: optuna.Study, given: SweepSpec) -> SweepSpec:
    """The specification of a command that continues a sweep, with what was set by hand. A key for which the
    command now says something else than before is the command's again."""
    known = study.user_attrs.get(SET, {})
    kept = {key: pair for key, pair in known.items() if pair[0] == value_of(given, key)}
    if kept != known:
        study.set_user_attr(SET, kept)
    return respecified(given, {key: value for key, (_, value) in kept.items()}) if kept else given
