"""How a search lies in Optuna's database: under which name, and what a trial's attributes mean."""

import warnings

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from dalr.sweeps.search.records import RunRecord, State, TrialRecord
from dalr.sweeps.spec.schema import SweepSpec

STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def trial_record(trial: FrozenTrial, recipe: str, number: int) -> TrialRecord:
    """A trial as the database has it, under its number in the sweep."""
    attrs = trial.user_attrs
    violations = trial.constraints.values()
    return TrialRecord(
        number=number,
        recipe=recipe,
        point=dict(attrs.get("values", trial.params)),
        point_id=attrs.get("point_id", ""),
        state=attrs.get("ended", "failed") if trial.state == TrialState.FAIL else STATES[trial.state],
        runs=tuple(RunRecord.load(run) for run in attrs.get("runs", [])),
        reason=attrs.get("reason"),
        violation=sum(max(0.0, value) for value in violations),
        scores=dict(trial.intermediate_values),
        added=attrs.get("added"),
        intent=attrs.get("intent"),
    )


def name_metrics(study: optuna.Study, names: list[str]) -> None:
    """Shows the metrics' names on the dashboard. Optuna marks the method as experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(names)


def study_name(spec: SweepSpec, recipe: str) -> str:
    """A recipe's study bears its name, of a recipe's file the file's, so that a sweep's folder opens in Optuna by a
    name that can be known. In a database that other sweeps may share, a hash of the search follows: two different
    searches never share a study."""
    name = spec.short_name(recipe)
    return name if spec.storage is None else f"{name}-{spec.study_key()}"


def stored_name(storage: BaseStorage, spec: SweepSpec, recipe: str) -> str:
    """The name under which a recipe's study lies in the database, or will lie."""
    known = [study.study_name for study in storage.get_all_studies()]
    name = study_name(spec, recipe)
    earlier = (  # of versions that wrote a hash always, and hashed paths
        f"{name}-{spec.study_key()}",
        f"{recipe.replace('/', '_')}-{spec.study_key(places=True)}",
    )
    return next((written for written in earlier if written in known), name)
