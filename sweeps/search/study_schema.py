"""How a search lies in Optuna's database: under which name, and what a trial's attributes mean."""

import warnings
from pathlib import Path

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
    """One study for each recipe and search: two different searches never share one. A recipe's file counts by
    its name, not by its place."""
    names = [Path(name).name for name in spec.recipe]
    place = spec.recipe.index(recipe)
    alone = names.count(names[place]) == 1
    return f"{names[place] if alone else f'{names[place]}-{place}'}-{spec.study_key()}"


def stored_name(storage: BaseStorage, spec: SweepSpec, recipe: str) -> str:
    """The name under which a recipe's study lies in the database, or will lie."""
    earlier = f"{recipe.replace('/', '_')}-{spec.study_key(places=True)}"  # with its paths, in earlier versions
    known = [study.study_name for study in storage.get_all_studies()]
    return earlier if earlier in known else study_name(spec, recipe)
