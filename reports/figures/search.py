"""The data of a sweep's figures: what was tried, what it brought, and what it cost."""

import math

import numpy as np
import polars as pl

from dalr.reports.load.sweeps import Sweep
from dalr.statistics.best_of_n import expected_best

MOST_LINES = 200
MOST_POINTS = 1500
MOST_BUDGETS = 60


def parallel_coordinates(sweep: Sweep, trials: pl.DataFrame) -> pl.DataFrame:
    """`trial`, `path`, `position` (0-1 along the path's axis, its logarithm where it was searched so),
    `text`, `value`, `best` (of the best tenth). Of more than `MOST_LINES` trials: the best half of that
    number, and of the others every k-th, so that both the winners and the searched space are seen."""
    done = trials.filter(pl.col("value").is_not_null()).sort("value", descending=sweep.highest)
    done = done.with_columns((pl.int_range(pl.len()) < max(1, done.height // 10)).alias("best"))
    if done.height > MOST_LINES:
        best, others = done.head(MOST_LINES // 2), done.slice(MOST_LINES // 2)
        done = pl.concat([best, others.gather_every(math.ceil(others.height / (MOST_LINES // 2)))])
    parts = []
    for path in sweep.searched:
        position = pl.Series("position", _positions(done[path], logarithmic=path in sweep.logarithmic))
        parts.append(
            done.select(
                "trial",
                "recipe",
                "value",
                "best",
                pl.lit(path).alias("path"),
                pl.col(path).cast(pl.String).alias("text"),
            )
            .with_columns(position)
            .filter(pl.col("text").is_not_null())
        )
    return pl.concat(parts) if parts else pl.DataFrame()


def axis_ends(data: pl.DataFrame) -> pl.DataFrame:
    """`path`, `position`, `text`: the least (0) and the greatest (1) value on each axis of
    `parallel_coordinates`, in three digits."""
    ends = data.filter(pl.col("position").is_in([0.0, 1.0])).unique(["path", "position"], maintain_order=True)
    short = pl.col("text").map_elements(_short, return_dtype=pl.String)
    return ends.select("path", "position", short)


def _short(text: str) -> str:
    try:
        return f"{float(text):.3g}"
    except ValueError:
        return text


def _positions(values: pl.Series, *, logarithmic: bool) -> np.ndarray:
    """Each value's place between the least (0) and the greatest (1) of the column, float64."""
    if values.dtype.is_numeric():
        numbers = values.cast(pl.Float64).fill_null(math.nan).to_numpy().copy()
        if logarithmic:
            numbers[numbers <= 0] = math.nan
            numbers = np.log(numbers)
    else:
        known = {text: index for index, text in enumerate(sorted(set(values.cast(pl.String).drop_nulls())))}
        numbers = np.array([math.nan if text is None else known[str(text)] for text in values.cast(pl.String)], float)
    if not np.isfinite(numbers).any():
        return np.full(len(numbers), 0.5)
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    return (numbers - low) / (high - low) if high > low else np.where(np.isnan(numbers), math.nan, 0.5)


def slices(sweep: Sweep, trials: pl.DataFrame, path: str) -> pl.DataFrame:
    """`x`, `value`, `trial`, `state`, `count` for one searched path. More than `MOST_POINTS` trials are
    binned: 40 bins of `x` (equally filled), 25 of `value`, `count` trials in each cell, no `trial`."""
    done = trials.filter(pl.col("value").is_not_null(), pl.col(path).is_not_null())
    if done.height <= MOST_POINTS or not done[path].dtype.is_numeric():
        x = pl.col(path) if done[path].dtype.is_numeric() else pl.col(path).cast(pl.String)
        return done.select(x.alias("x"), "value", "trial", "state", pl.lit(1).alias("count")).head(MOST_POINTS)
    values = done["value"].to_numpy()
    lowest, highest = float(np.quantile(values, 0.01)), float(values.max())
    step = ((highest - lowest) / 25) or 1.0
    return (
        done.with_columns(
            (pl.col(path).rank("ordinal") * 40 // (done.height + 1)).alias("bin"),
            ((pl.col("value").clip(lowest, highest) - lowest) / step).floor().alias("level"),
        )
        .group_by("bin", "level")
        .agg(pl.col(path).median().alias("x"), pl.col("value").median(), pl.len().alias("count"))
        .with_columns(pl.lit(None, dtype=pl.Int64).alias("trial"), pl.lit("complete").alias("state"))
        .sort("bin", "level")
        .select("x", "value", "trial", "state", "count")
    )


def pareto_front(sweep: Sweep, trials: pl.DataFrame) -> pl.DataFrame:
    """`trial`, `recipe`, `cost`, `value`, `front`: complete trials by value and the sweep's second metric,
    or by value and seconds spent where it has one metric; `front` marks those that no other beats in
    both. Of a large sweep the dominated ones are thinned to `MOST_POINTS`."""
    cost, lowest = pareto_cost(sweep)
    done = trials.filter(pl.all_horizontal(pl.col("value", cost).is_not_null()), pl.col("state") == "complete")
    done = done.sort(cost, "value", "trial", descending=[not lowest, sweep.highest, False])
    values = (1.0 if sweep.highest else -1.0) * done["value"].to_numpy()
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(values)[:-1]]) if len(values) else values
    marked = done.select("trial", "recipe", pl.col(cost).alias("cost"), "value").with_columns(
        pl.Series("front", values > best_before, dtype=pl.Boolean)
    )
    front, others = marked.filter("front"), marked.filter(~pl.col("front"))
    if others.height > MOST_POINTS:
        others = others.gather_every(math.ceil(others.height / MOST_POINTS))
    return pl.concat([front, others])


def pareto_cost(sweep: Sweep) -> tuple[str, bool]:
    """The column that is drawn against the value, and whether less of it is better."""
    if not sweep.further_metrics:
        return "seconds", True
    metric = sweep.further_metrics[0]
    return metric, sweep.directions[sweep.metrics.index(metric)] == "minimize"


def expected_best_by_recipe(sweep: Sweep, trials: pl.DataFrame) -> pl.DataFrame:
    """`trials`, `expected`, `deviation`, `recipe`, `share`: the expected best of n trials of each recipe of a
    sweep, at up to `MOST_BUDGETS` values of n; failed trials count as the worst. `share` is n as a part of
    the recipe's trials."""
    parts = []
    for recipe in trials["recipe"].unique().sort():
        mine = trials.filter(pl.col("recipe") == recipe, pl.col("state") != "skipped")
        values = mine["value"].cast(pl.Float64).fill_null(math.nan).to_numpy()
        budgets = np.unique(np.round(np.geomspace(1, mine.height, MOST_BUDGETS)).astype(int))
        best = expected_best(values, highest=sweep.highest, trials=budgets)
        columns = {"trials": best.trials, "expected": best.mean, "deviation": best.deviation}
        frame = pl.DataFrame(columns, schema={"trials": pl.Int64, "expected": pl.Float64, "deviation": pl.Float64})
        parts.append(
            frame.with_columns(pl.lit(recipe).alias("recipe"), (pl.col("trials") / mine.height).alias("share"))
        )
    return pl.concat(parts) if parts else pl.DataFrame()
