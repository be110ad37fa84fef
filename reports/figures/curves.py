"""The data of learning curves and of the terms' contributions, from metrics.jsonl."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from dalr.errors import InputError
from dalr.losses.terms import TERMS
from dalr.metrics_log import METRICS, read_log
from dalr.reports.load.runs import read_json
from dalr.reports.load.sweeps import Sweep

CURVE_SCHEMA: dict[str, Any] = {
    "label": pl.String,
    "seed": pl.Int64,
    "step": pl.Int64,
    "key": pl.String,
    "value": pl.Float64,
}
MOST_POINTS = 100


def read_metrics(path: Path, *, label: str, seed: int | None, factors: Mapping[str, float]) -> tuple[pl.DataFrame, int]:
    """One run's metrics.jsonl in long form (`CURVE_SCHEMA`): its loss, evaluations (keys `TASK.SPLIT`)
    and the terms that have a factor, times it, so that they add up to the loss. The loss of text
    batches, which lack most terms, has a key of its own, `loss/text`.

    Damaged lines are left out, and counted."""
    logged = read_log(path)
    rows = []
    for values in logged.lines:
        for key, value in values.items():
            if isinstance(value, int | float) and _is_shown(key, factors):
                paired = bool(values.get("paired", 1))
                rows.append((label, seed, values["step"], *_keyed(key, float(value), factors, paired=paired)))
    return pl.DataFrame(rows, schema=CURVE_SCHEMA, orient="row"), logged.damaged


def _keyed(key: str, value: float, factors: Mapping[str, float], *, paired: bool) -> tuple[str, float]:
    if key == "loss":
        return ("loss" if paired else "loss/text"), value
    term = key.removeprefix("term/")
    return key, value if term == key else value * factors[term]


def _is_shown(key: str, factors: Mapping[str, float]) -> bool:
    return key == "loss" or key.removeprefix("term/") in factors or ("." in key and "/" not in key)


def term_factors(config: Mapping[str, Any]) -> dict[str, float]:
    """What each term is multiplied with in the total: 1 for `text`, its group's λ or μ times its own
    weight for the others; each part of a term carries an equal share of it. A term that is not declared here, of
    a module that is not imported, has none."""
    objective = config.get("objective") or {}
    factors = {"text": 1.0}
    weights = objective.get("weights") or {}
    for name in TERMS.keys() & weights.keys():
        term = TERMS[name]
        factor = float(objective.get(term.group) or 0.0) * float(weights[name])
        parts = term.parts or (name,)
        factors |= dict.fromkeys(parts, factor / len(parts))
    return factors


def learning_curves(metrics: pl.DataFrame, key: str) -> pl.DataFrame:
    """`label`, `step`, `mean`, `low`, `high` (over seeds: least and greatest), `seeds`, for metric
    `key`, at most `MOST_POINTS` steps a curve: the mean within bins of steps."""
    chosen = metrics.filter(pl.col("key") == key)
    return (
        _binned(chosen, ["label", "seed"])
        .group_by("label", "step")
        .agg(
            pl.col("value").mean().alias("mean"),
            pl.col("value").min().alias("low"),
            pl.col("value").max().alias("high"),
            pl.len().alias("seeds"),
        )
        .sort("label", "step")
    )


def term_contributions(metrics: pl.DataFrame) -> pl.DataFrame:
    """`label`, `term`, `step`, `value`: each term's weighted share of the loss, mean over seeds,
    over the steps that have the term, at most `MOST_POINTS` a curve. A run of one step has no curve."""
    chosen = metrics.filter(pl.col("key").str.starts_with("term/"), pl.col("step").n_unique().over("label") > 1)
    return (
        _binned(chosen, ["label", "seed", "key"])
        .group_by("label", "key", "step")
        .agg(pl.col("value").mean())
        .with_columns(pl.col("key").str.strip_prefix("term/").alias("term"))
        .select("label", "term", "step", "value")
        .sort("label", "term", "step")
    )


def evaluation_keys(metrics: pl.DataFrame) -> list[str]:
    """The evaluated metrics (`TASK.SPLIT`), those of most lines first."""
    keys = metrics.filter(pl.col("key").str.contains(".", literal=True))["key"]
    return keys.value_counts().sort(["count", "key"], descending=[True, False])["key"].to_list()


def _binned(metrics: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The mean value in each bin of steps; a bin is named by its last step."""
    if metrics.is_empty():
        return metrics
    distinct = metrics["step"].n_unique()
    if distinct <= MOST_POINTS:
        return metrics
    highest = int(metrics["step"].max())  # type: ignore[arg-type]
    width = -(-highest // MOST_POINTS)
    bins = ((pl.col("step") + width - 1) // width * width).clip(0, highest).alias("step")
    return metrics.with_columns(bins).group_by(*by, "step").agg(pl.col("value").mean()).sort(*by, "step")


def best_trials_metrics(sweep: Sweep, trials: pl.DataFrame, count: int) -> pl.DataFrame:
    """The metrics (`CURVE_SCHEMA`) of a sweep's `count` best trials, labelled by their numbers. A trial's
    runs are found under `runs/` by the config fingerprint in their provenance."""
    best = trials.filter(pl.col("value").is_not_null()).sort("value", descending=sweep.highest).head(count)
    runs = sweep.runs.filter(pl.col("trial").is_in(best["trial"].to_list()))
    if "config_fingerprint" not in runs.columns or not (sweep.folder / "runs").is_dir():
        return pl.DataFrame(schema=CURVE_SCHEMA)
    wanted = {
        fingerprint: (trial, seed)
        for trial, seed, fingerprint in runs.select("trial", "seed", "config_fingerprint").iter_rows()
        if fingerprint is not None
    }
    parts = [pl.DataFrame(schema=CURVE_SCHEMA)]
    for folder in sorted((sweep.folder / "runs").iterdir()):
        trial, seed = wanted.get(_config_fingerprint(folder), (None, None))
        if trial is not None:
            parts.append(read_metrics(folder / METRICS, label=f"trial {trial}", seed=seed, factors={})[0])
    return pl.concat(parts)


def _config_fingerprint(run: Path) -> str | None:
    """What provenance.json says; None where it is missing or damaged, which only costs a curve."""
    try:
        return read_json(run / "provenance.json").get("config_fingerprint")
    except InputError:
        return None
