"""How a search lies in Optuna's database: under which name, and what a trial's attributes mean."""

import logging
from collections.abc import Container, Mapping
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from dalr.errors import InputError, argument
from dalr.identity import SCHEMA, Identity
from dalr.sweeps.search.records import RunRecord, State, TrialRecord
from dalr.sweeps.search.samplers import experimental_allowed
from dalr.sweeps.spec.schema import SweepSpec

_log = logging.getLogger(__name__)

STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def trial_record(trial: FrozenTrial, recipe: str, number: int) -> TrialRecord:
    """A trial as Optuna has it, under its number in the sweep."""
    violation = sum(max(0.0, value) for value in trial.constraints.values())
    return stored_record(number, recipe, trial.state, trial.user_attrs, violation, trial.intermediate_values)


def stored_record(
    number: int,
    recipe: str,
    state: TrialState,
    attributes: Mapping[str, Any],
    violation: float = 0.0,
    scores: Mapping[int, float] | None = None,
) -> TrialRecord:
    """A trial from what lies in the database of it. The point of one that was cut off while it was drawn is empty."""
    return TrialRecord(
        number=number,
        recipe=recipe,
        point=dict(attributes.get("values", {})),
        point_id=attributes.get("point_id", ""),
        state=attributes.get("ended", "failed") if state == TrialState.FAIL else STATES[state],
        runs=tuple(RunRecord.load(run) for run in attributes.get("runs", [])),
        reason=attributes.get("reason"),
        violation=violation,
        scores=dict(scores or {}),
        added=attributes.get("added"),
        intent=attributes.get("intent"),
        settles=attributes.get("settles", True),
    )


def name_metrics(study: optuna.Study, names: list[str]) -> None:
    """Shows the metrics' names on the dashboard. Optuna marks the method as experimental."""
    with experimental_allowed():
        study.set_metric_names(names)


def study_name(spec: SweepSpec, recipe: str) -> str:
    """A recipe's study bears its name, of a recipe's file the file's, so that a sweep's folder opens in Optuna by a
    name that can be known. In a database that other sweeps may share, a hash of the search follows: two different
    searches never share a study."""
    name = spec.short_name(recipe)
    return name if spec.storage is None else f"{name}-{spec.study_key()}"


def stored_name(storage: BaseStorage, spec: SweepSpec, recipe: str) -> str:
    """The name under which a recipe's study lies in the database, or will lie."""
    return name_among([study.study_name for study in storage.get_all_studies()], spec, recipe)


def name_among(known: Container[str], spec: SweepSpec, recipe: str) -> str:
    """The same, where the names of all studies are known."""
    name = study_name(spec, recipe)
    earlier = (  # of versions that wrote a hash always, and hashed paths
        f"{name}-{spec.study_key()}",
        f"{recipe.replace('/', '_')}-{spec.study_key(places=True)}",
    )
    return next((written for written in earlier if written in known), name)


def check_search(study: optuna.Study, spec: SweepSpec) -> None:
    """Writes down which search a study belongs to, once: its folder's sweep.yaml may be lost.

    Raises:
        InputError: it belongs to another search.
    """
    saved = study.user_attrs.get("search")
    if saved is not None and SweepSpec.model_validate(saved).study_key() != spec.study_key():
        raise InputError(
            f"the study {study.study_name} has the trials of another search than this specification's; choose another "
            f"{argument('out')}, or give the folder its sweep.yaml back"
        )
    if saved is None:
        study.set_user_attr("search", spec.dump())


def check_base(study: optuna.Study, recipe: str, base: Identity) -> bool:
    """Writes down what every trial of a recipe is made from, once; whether an earlier version, which did not note
    the content of its data, has begun the search.

    Raises:
        InputError: it has changed since: two searches would mix.
    """
    attrs = study.user_attrs
    if "identity" in attrs:
        saved = attrs["identity"]
        if differences := base.differences(saved["config"], saved):
            raise InputError(
                f"recipe {recipe}: what it trains has changed since this sweep began: "
                f"{', '.join(differences)}; choose another {argument('out')}"
            )
    elif "base" in attrs:
        _log.warning(
            "recipe %s: this sweep was begun by an earlier version, which did not note the content of its data; "
            "it goes on with what is there now",
            recipe,
        )
    values = {"schema": SCHEMA, "config": base.config.dump(), "contents": dict(base.contents)}
    study.set_user_attr("identity", values)
    return "base" in attrs and "identity" not in attrs
