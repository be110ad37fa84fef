"""What a sweep leaves behind: `trials.parquet` and `best.yaml`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dalr.config import RunConfig
from dalr.files import write_text, written_aside
from dalr.overrides import to_yaml
from sweeps.coordinator import Coordinator
from sweeps.records import TrialRecord
from sweeps.space import at_edge
from sweeps.spec import SweepSpec
from sweeps.study import best_points, run_config

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
}


@dataclass(frozen=True)
class SweepOutcome:
    """`best` is the best point (None where no trial is complete), `best_config` its config file;
    `warnings` are sentences for the user."""

    out: Path
    trials: tuple[TrialRecord, ...]
    best: TrialRecord | None
    best_config: Path | None
    warnings: tuple[str, ...] = ()


def write_outcome(coordinator: Coordinator, out: Path) -> SweepOutcome:
    """Rewrites the files from the studies; called after every trial."""
    spec = coordinator.spec
    trials = all_trials(coordinator)
    write_trials(trials, spec, out / "trials.parquet")
    best = best_points(trials, maximize=spec.directions[0] == "maximize")
    if not best:
        return SweepOutcome(out, tuple(trials), None, None)
    write_text(out / "best.yaml", to_yaml(winning_config(coordinator, best[0])))
    warnings = at_edge(spec.space, best[0].point)
    return SweepOutcome(out, tuple(trials), best[0], out / "best.yaml", tuple(warnings))


def all_trials(coordinator: Coordinator) -> list[TrialRecord]:
    """Every trial of every recipe, by number."""
    return sorted((t for study in coordinator.studies.values() for t in study.trials()), key=lambda t: t.number)


def winning_config(coordinator: Coordinator, best: TrialRecord) -> RunConfig:
    """The config that `dalr train` runs: the recipe's own test tasks and seed, the winner's point."""
    return run_config(coordinator.finals[best.recipe].plain_base.dump(), best.point, None)


def write_trials(trials: Sequence[TrialRecord], spec: SweepSpec, path: Path) -> None:
    """One row for each ended trial and seed; a trial that was never run (an invalid or a known point) has
    one row without a seed."""
    rows = [row for trial in trials if trial.state != "running" for row in trial_rows(trial, spec)]
    schema: dict[str, Any] = {**COLUMNS, **dict.fromkeys(spec.metric[1:], pl.Float64)}
    schema |= {path: _column_type(spec, path) for path in spec.space}
    with written_aside(path) as aside:
        pl.DataFrame(rows, schema=schema).write_parquet(aside)


def _column_type(spec: SweepSpec, path: str) -> Any:
    dimension = spec.space[path]
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
    }
    shared = {"trial": trial.number, "recipe": trial.recipe, **{p: point.get(p) for p in spec.space}}
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
