"""A sweep as its folder tells it: its spec, and one frame of its trials."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from dalr.errors import InputError
from dalr.reports.load.names import plain, without_paths
from dalr.reports.load.parquet import read_parquet
from dalr.reports.load.runs import expect, read_yaml

REQUIRED = ("trial", "seed", "state", "value", "steps", "seconds")
ARM = "arm"  # the column of a trial's arm
PARTS = ("model.", "data.", "evaluation.", "teachers.", "objective.", "optim.", "train.")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One sweep, called `name` in the report; `place` is its folder's own name. `runs` has a row per
    trial and seed, as trials.parquet has; `searched` names its columns that are config paths.
    `metrics` and `directions` are the spec's, the first one's value being the column `value`."""

    name: str
    place: str
    folder: Path
    spec: dict[str, Any]
    runs: pl.DataFrame
    searched: tuple[str, ...]
    metrics: tuple[str, ...]
    directions: tuple[str, ...]

    @property
    def highest(self) -> bool:
        """Whether a higher value is better."""
        return self.directions[0] == "maximize"

    @property
    def further_metrics(self) -> tuple[str, ...]:
        """The metrics after the first that are columns of `runs`: those of a search for a Pareto front."""
        return tuple(metric for metric in self.metrics[1:] if metric in self.runs.columns)

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the settings that it compares, the reference first; empty where it searches."""
        return tuple(str(arm) for arm in self.spec.get("arms") or ()) if ARM in self.runs.columns else ()

    @property
    def logarithmic(self) -> set[str]:
        """The searched paths that are searched on a logarithmic scale."""
        space = self.spec.get("space") or {}
        return {path for path, how in space.items() if isinstance(how, dict) and "log" in how}


def read_sweep(folder: Path, name: str) -> Sweep:
    """The sweep in `folder`, from sweep.yaml and trials.parquet.

    Raises:
        InputError: a file is missing, damaged, or lacks a column.
    """
    spec = read_yaml(folder / "sweep.yaml") if (folder / "sweep.yaml").exists() else {}
    expect(folder / "sweep.yaml", spec, dict, "space", "arms", "contrasts")
    path = folder / "trials.parquet"
    if not path.is_file():
        raise InputError("the sweep has no trials.parquet: no trial has ended yet")
    runs = read_parquet(path, REQUIRED)
    if "recipe" not in runs.columns:
        runs = runs.with_columns(pl.lit(_recipe(spec)).alias("recipe"))
    if "reason" not in runs.columns:
        runs = runs.with_columns(pl.lit(None, dtype=pl.String).alias("reason"))
    # Reasons and searched files may hold the machine's own folders.
    texts = [name for name, kind in runs.schema.items() if kind == pl.String]
    runs = runs.with_columns(pl.col(texts).map_elements(without_paths, return_dtype=pl.String)) if texts else runs
    metrics = _several(spec.get("metric", "value"), "metric")
    directions = _several(spec.get("direction", "maximize"), "direction")
    if unknown := set(directions) - {"maximize", "minimize"}:
        raise InputError(f"sweep.yaml: direction: {min(unknown)!r:.40} is neither maximize nor minimize")
    return Sweep(
        name=name,
        place=name,
        folder=folder,
        spec=spec,
        runs=runs,
        searched=tuple(column for column in runs.columns if column.startswith(PARTS) and column not in metrics),
        metrics=metrics,
        directions=directions if len(directions) == len(metrics) else directions[:1] * len(metrics),
    )


def _recipe(spec: dict[str, Any]) -> str:
    recipe = spec.get("recipe", "")
    return str(recipe[0] if isinstance(recipe, list) and len(recipe) == 1 else recipe)


def _several(value: Any, key: str) -> tuple[str, ...]:
    """A text, or a list of texts, as a list that is not empty."""
    values = tuple(value) if isinstance(value, list) else (value,)
    if not values or not all(isinstance(item, str) for item in values):
        raise InputError(f"sweep.yaml: {key}: expected a text or a list of texts, not {value!r:.40}")
    return values


def points_of_arms(sweep: Sweep) -> dict[int, tuple[str, str]]:
    """Trial → its arm, and what else tells its point from others: the recipe where there are several, and the
    searched values (`pair_every=6`; empty where there are none). In the order of the trials; empty without arms."""
    if not sweep.arms:
        return {}
    several = sweep.runs["recipe"].n_unique() > 1
    points = {}
    for row in sweep.runs.sort("trial").unique("trial", keep="first", maintain_order=True).iter_rows(named=True):
        values = [f"{short_path(path, sweep.searched)}={plain(row[path])}" for path in sweep.searched]
        points[row["trial"]] = (row[ARM], ", ".join([row["recipe"], *values] if several else values))
    return points


def seeds_of(sweep: Sweep, trial: int) -> set[int]:
    """The seeds that a trial was trained with."""
    return set(sweep.runs.filter(pl.col("trial") == trial)["seed"])


def trial_of(run: Path) -> tuple[Path, int] | None:
    """The sweep's folder and the trial's number of a run in `SWEEP/runs/trial-0007-seed-1`; None of other runs."""
    match = re.fullmatch(r"trial-(\d+)-seed-\d+", run.name)
    return (run.parent.parent, int(match[1])) if match and run.parent.name == "runs" else None


def short_path(path: str, paths: Sequence[str]) -> str:
    """The last part of a config path, where no other of `paths` ends so; else all of it."""
    last = path.rsplit(".", 1)[-1]
    return last if sum(other.rsplit(".", 1)[-1] == last for other in paths) == 1 else path


def trials(sweep: Sweep) -> pl.DataFrame:
    """One row per trial: its recipe, `state` (of its runs: failed if any failed, else stopped by hand, skipped by
    hand or pruned if any was, else complete), first `reason`, `value` (mean over its runs that have one), `deviation`
    (sample, over seeds), `seeds`, `steps` and `seconds` (sums), further metrics (means), searched paths."""
    order = {"failed": 4, "stopped": 3, "skipped": 2, "pruned": 1, "complete": 0}
    names = {rank: state for state, rank in order.items()}
    finite = pl.when(pl.col("value").is_finite()).then(pl.col("value"))
    return (
        sweep.runs.filter(pl.col("state").is_in(list(order)))
        .group_by("recipe", "trial")
        .agg(
            pl.col("state").replace_strict(order, return_dtype=pl.Int8).max().alias("rank"),
            pl.col("reason").drop_nulls().first(),
            finite.mean().alias("value"),
            finite.std().alias("deviation"),
            pl.col("seed").n_unique().alias("seeds"),
            pl.col("steps").sum(),
            pl.col("seconds").sum(),
            *(pl.col(metric).mean() for metric in sweep.further_metrics),
            *(pl.col(path).first() for path in (*([ARM] if sweep.arms else []), *sweep.searched)),
        )
        .with_columns(pl.col("rank").replace_strict(names, return_dtype=pl.String).alias("state"))
        .drop("rank")
        .sort("recipe", "trial")
    )


def extended(sweep: Sweep) -> pl.DataFrame:
    """The trials that were trained on after their end, a row each: `trial`, `steps`, and `value`, the mean over seeds
    of the longer runs' best scores (null where none was evaluated). Earlier versions of sweeps do not say."""
    if "extended_steps" not in sweep.runs.columns:
        return pl.DataFrame(schema={"trial": pl.Int64, "steps": pl.Int64, "value": pl.Float64})
    longer = sweep.runs.filter(pl.col("extended_steps").is_not_null()).group_by("trial")
    return longer.agg(
        pl.col("extended_steps").max().alias("steps"), pl.col("extended_value").mean().alias("value")
    ).sort("trial")


def best_points(sweep: Sweep) -> pl.DataFrame:
    """The complete points, best first, in the columns of `trials`: as the sweep has ranked them, without those
    that break a constraint, identical points as one under the number of the first. Complete trials by their
    value where an earlier version of the sweep has not."""
    runs = sweep.runs
    if "place" in runs.columns and runs["place"].count():
        first = pl.col("trial").min().over("place")
        runs = runs.filter(pl.col("place").is_not_null()).with_columns(first)
    complete = trials(replace(sweep, runs=runs)).filter(pl.col("state") == "complete", pl.col("value").is_not_null())
    return complete.sort("value", "trial", descending=[sweep.highest, False])
