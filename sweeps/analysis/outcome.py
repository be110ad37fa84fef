"""What a sweep leaves behind: its trials, its best config, and what the final runs showed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dalr.config.overrides import to_yaml
from dalr.config.schema import RunConfig
from dalr.files import atomic_write, write_text
from dalr.statistics.comparison import Comparison
from dalr.sweeps.analysis.equal_budget import equal_budget_rows
from dalr.sweeps.analysis.final_comparisons import final_comparisons, final_scores, finalists
from dalr.sweeps.analysis.importance import Importance, importances
from dalr.sweeps.search.configs import run_config
from dalr.sweeps.search.finals import BASE
from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.snapshot import SweepState
from dalr.sweeps.search.spec_file import code_versions
from dalr.sweeps.spec.checks import allowed
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import at_edge

COLUMNS = {
    "trial": pl.Int64,
    "seed": pl.Int64,
    "state": pl.String,
    "reason": pl.String,
    "value": pl.Float64,
    "steps": pl.Int64,
    "seconds": pl.Float64,
    "config_fingerprint": pl.String,
    "recipe": pl.String,
    "place": pl.Int64,
    "extended_steps": pl.Int64,
    "extended_value": pl.Float64,
}

FINALS = {
    "recipe": pl.String,
    "candidate": pl.Int64,
    "seed": pl.Int64,
    "state": pl.String,
    "reason": pl.String,
    "seconds": pl.Float64,
    "config_fingerprint": pl.String,
    "winner": pl.Boolean,
    "decides": pl.String,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "seed_p": pl.Float64,
    "seed_holm": pl.Float64,
    "example_p": pl.Float64,
    "example_holm": pl.Float64,
}
IMPORTANCE = {
    "recipe": pl.String,
    "path": pl.String,
    "share": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "step": pl.Int64,
}
COMPARISON = {
    "recipe": pl.String,
    "trials": pl.Int64,
    "steps": pl.Float64,
    "seconds": pl.Float64,
    "expected_best": pl.Float64,
}


@dataclass(frozen=True)
class SweepOutcome:
    """`best` is the best point (None where no trial is complete), `best_config` its config file;
    `comparisons` say what the final runs showed, `equal_budget` has the rows of comparison.parquet, `warnings`
    are sentences for the user."""

    state: SweepState
    best: TrialRecord | None
    best_config: Path | None
    comparisons: tuple[Comparison, ...] = ()
    importances: tuple[Importance, ...] = ()
    warnings: tuple[str, ...] = ()
    equal_budget: tuple[dict[str, Any], ...] = ()


def write_progress(state: SweepState, bases: Mapping[str, RunConfig]) -> None:
    """Rewrites `trials.parquet` and `best.yaml`; called after every trial."""
    write_trials(state, state.out / "trials.parquet")
    best = state.best()
    if best:
        # The recipe's own test tasks and seed, the winner's point.
        config = run_config(bases[best[0].recipe].dump(), state.spec.settings(best[0].point), None)
        write_text(state.out / "best.yaml", to_yaml(config))


def write_outcome(state: SweepState, bases: Mapping[str, RunConfig]) -> SweepOutcome:
    """Everything that a sweep leaves when it ends: also `importance.parquet`, `finals.parquet` and, where
    several recipes were searched, `comparison.parquet`."""
    write_progress(state, bases)
    outcome = outcome_of(state)
    write_importance(outcome.importances, state.out / "importance.parquet")
    if state.finals:
        write_finals(state, outcome.comparisons, state.out / "finals.parquet")
    if len(state.spec.recipe) > 1:
        _write(pl.DataFrame(equal_budget_rows(state), schema=COMPARISON), state.out / "comparison.parquet")
    return outcome


def outcome_of(state: SweepState) -> SweepOutcome:
    """The outcome so far, without writing."""
    best = state.best()
    if not best:
        return SweepOutcome(state, None, None)
    winner = best[0]
    return SweepOutcome(
        state=state,
        best=winner,
        best_config=state.out / "best.yaml",
        comparisons=tuple(final_comparisons(state)),
        importances=tuple(
            importance
            for recipe in state.spec.recipe
            for importance in importances(state.spec, [trial for trial in state.trials if trial.recipe == recipe])
        ),
        warnings=(*at_edge(state.spec.searched, winner.point, allowed), *mixed_versions(state.out)),
        equal_budget=tuple(equal_budget_rows(state)) if len(state.spec.recipe) > 1 else (),
    )


def mixed_versions(out: Path) -> list[str]:
    """A sentence where more than one version of the code has worked on the sweep."""
    versions = code_versions(out)
    if len(versions) < 2:
        return []
    return [f"the trials ran with {len(versions)} versions of the code ({', '.join(versions)}): are they comparable?"]


def _write(frame: pl.DataFrame, path: Path) -> None:
    with atomic_write(path) as aside:
        frame.write_parquet(aside)


def write_importance(importances: Sequence[Importance], path: Path) -> None:
    """One row for each recipe and searched path; `step` is null where final values were compared."""
    _write(
        pl.DataFrame([asdict(each) for each in importances], schema=IMPORTANCE).rename({"share": "importance"}), path
    )


def write_finals(state: SweepState, comparisons: Sequence[Comparison], path: Path) -> None:
    """One row for each ended final run: `candidate` is the trial's number, null for the base recipe;
    `winner`: whether the recipe's search ended with it; its scores on the test tasks, one column each.

    Then, the same in each row of a candidate and null for the base recipe, its comparison with the base
    recipe in the score that decides (`decides`): `difference` in points with its 95 % interval, the
    p-values over seeds and over test examples, before and after Holm's correction (`seed_holm`, `example_holm`).
    """
    ended = [record for record in state.finals if record.run.state != "running"]
    scores = [final_scores(state, record) for record in ended]
    columns = dict.fromkeys(column for own in scores for column in own)
    tested = _tested(state, comparisons)
    rows = [
        {
            "recipe": record.recipe,
            "candidate": None if record.candidate == BASE else record.candidate,
            "seed": record.run.seed,
            "state": record.run.state,
            "reason": record.run.reason,
            "seconds": record.run.seconds,
            "config_fingerprint": record.run.fingerprint,
            **tested.get((record.recipe, record.candidate), {}),
            **own,
        }
        for record, own in zip(ended, scores, strict=True)
    ]
    _write(pl.DataFrame(rows, schema={**FINALS, **dict.fromkeys(columns, pl.Float64)}), path)


def _tested(state: SweepState, comparisons: Sequence[Comparison]) -> dict[tuple[str, int], dict[str, Any]]:
    """By recipe and candidate, the columns of finals.parquet that say what the final runs show of it."""
    decisive = {comparison.ours: comparison for comparison in comparisons if comparison.family == "average"}
    tested = {}
    for finalist in (each for recipe in state.spec.recipe for each in finalists(state, recipe)):
        if finalist.candidate is not None:
            comparison = decisive.get(finalist.label)
            answers = _answers(comparison) if comparison else {}
            tested[finalist.recipe, finalist.candidate] = {"winner": finalist.winner, **answers}
    return tested


def _answers(comparison: Comparison) -> dict[str, Any]:
    span = comparison.over_seeds.interval
    return {
        "decides": comparison.score,
        "difference": comparison.difference,
        "low": span and span.low,
        "high": span and span.high,
        "seed_p": comparison.seed_p,
        "seed_holm": comparison.seed_holm,
        "example_p": comparison.example_p,
        "example_holm": comparison.example_holm,
    }


def write_trials(state: SweepState, path: Path) -> None:
    """One row for each ended trial and seed; a trial that was never run (an invalid or a known point) has
    one row without a seed. `place` is that of its point among the complete ones that break no constraint, 1 the
    best; identical points share one. Null for all others. `extended_steps` and `extended_value`: to how many steps its
    run was trained on after its end, and the best score of that longer run; null where it was not."""
    spec = state.spec
    places = {point.point_id: place for place, point in enumerate(state.best(), 1)}
    rows = [
        {
            **row,
            "place": places.get(trial.point_id) if trial.state == "complete" and not trial.violation else None,
            **_extended(state, trial.number, row.get("seed")),
        }
        for trial in state.trials
        if trial.state != "running"
        for row in trial_rows(trial, spec)
    ]
    schema: dict[str, Any] = {**COLUMNS, **dict.fromkeys(spec.metric[1:], pl.Float64)}
    schema |= {path: _column_type(spec, path) for path in spec.searched}
    _write(pl.DataFrame(rows, schema=schema), path)


def _extended(state: SweepState, trial: int, seed: int | None) -> dict[str, Any]:
    longer = next((run for run in state.extensions.get(trial, ()) if run.seed == seed), None)
    return {"extended_steps": longer.steps, "extended_value": longer.value} if longer else {}


def _column_type(spec: SweepSpec, path: str) -> Any:
    dimension = spec.searched[path]
    if dimension.choice is None:
        return pl.Int64 if dimension.integer is not None else pl.Float64
    kinds = {type(value) for value in dimension.choice if value is not None}
    if kinds == {bool}:
        return pl.Boolean
    if kinds == {int}:
        return pl.Int64
    return pl.Float64 if kinds and kinds <= {int, float} else pl.String


def trial_rows(trial: TrialRecord, spec: SweepSpec) -> list[dict[str, Any]]:
    """The rows of one trial; values of mixed choices are written as text."""
    point = {
        path: str(value) if value is not None and _column_type(spec, path) == pl.String else value
        for path, value in trial.point.items()
        if path in spec.searched
    }
    shared = {"trial": trial.number, "recipe": trial.recipe, **{p: point.get(p) for p in spec.searched}}
    if not trial.runs:
        return [{**shared, "state": trial.state, "reason": trial.reason, "steps": 0, "seconds": 0.0}]
    return [
        {
            **shared,
            "seed": run.seed,
            "state": run.state,
            "reason": run.reason or (trial.reason if run.state != "complete" else None),
            "value": run.values[0] if run.values else run.value,
            **dict(zip(spec.metric[1:], run.values[1:], strict=False)),
            "steps": run.steps,
            "seconds": run.seconds,
            "config_fingerprint": run.fingerprint,
        }
        for run in trial.runs
    ]
