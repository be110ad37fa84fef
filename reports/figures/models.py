"""The data of figures over models: geometry of their spaces, and how tasks go together."""

import numpy as np
import polars as pl
import scipy

from dalr.results import STS

FEWEST_MODELS = 4


def alignment_uniformity(scores: pl.LazyFrame, labels: dict[str, str]) -> pl.DataFrame:
    """`label`, `variant`, `alignment`, `uniformity`, `score`: each row's mean over seeds, for every
    variant that has both; `score` is its mean STS score. Lower is better on both axes."""
    frame = scores.filter(pl.col("task") == "all", pl.col("value").is_not_null()).collect()
    split = frame.with_columns(pl.col("metric").str.split_exact("/", 1).alias("parts")).unnest("parts")
    wide = (
        split.rename({"field_0": "kind", "field_1": "variant"})
        .group_by("row", "variant", "kind")
        .agg(pl.col("value").mean())
        .pivot(on="kind", index=["row", "variant"], values="value")
    )
    if not {"alignment", "uniformity"} <= set(wide.columns):
        return pl.DataFrame(schema={"label": pl.String, "variant": pl.String})
    means = (
        scores.filter(pl.col("metric") == "score", pl.col("task").is_in(STS))
        .group_by("row")
        .agg(pl.col("value").mean().alias("score"))
    )
    return (
        wide.drop_nulls(["alignment", "uniformity"])
        .join(means.collect(), on="row", how="left")
        .with_columns(pl.col("row").replace_strict(labels, return_dtype=pl.String).alias("label"))
        .select("label", "variant", "alignment", "uniformity", "score")
        .sort("variant", "label")
    )


def task_correlation(scores: pl.LazyFrame, tasks: tuple[str, ...]) -> pl.DataFrame:
    """`a`, `b`, `correlation`, `models`: Spearman's rank correlation between two tasks' scores over the
    rows (means over seeds) that have both; empty below `FEWEST_MODELS` rows."""
    wide = (
        scores.filter(pl.col("metric") == "score", pl.col("task").is_in(tasks))
        .group_by("row", "task")
        .agg(pl.col("value").mean())
        .collect()
        .pivot(on="task", index="row", values="value")
    )
    present = [task for task in tasks if task in wide.columns]
    if len(present) < 2:
        present = []  # of one task there is nothing to see
    rows = []
    for a in present:
        for b in present:
            both = wide.select(pl.col(a).alias("a"), pl.col(b).alias("b")).drop_nulls()
            if both.height < FEWEST_MODELS or both["a"].n_unique() < 2 or both["b"].n_unique() < 2:
                continue
            rows.append((a, b, float(scipy.stats.spearmanr(both["a"], both["b"]).statistic), both.height))
    schema = {"a": pl.String, "b": pl.String, "correlation": pl.Float64, "models": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def similarity_by_gold(similarities: np.ndarray, gold: np.ndarray, *, bins: int = 5, points: int = 80) -> pl.DataFrame:
    """`gold` (a range, as text), `similarity`, `density`, `pairs`: a Gaussian kernel's estimate of how the
    cosine similarities [n] are distributed in each of `bins` equal ranges between the whole numbers
    around the gold scores [n]. Ranges of fewer than five different similarities are left out."""
    edges = np.linspace(np.floor(gold.min()), np.ceil(gold.max()), bins + 1)
    member = np.clip(np.digitize(gold, edges[1:-1]), 0, bins - 1)
    margin = 0.2 * (np.ptp(similarities) or 1.0)
    grid = np.linspace(similarities.min() - margin, similarities.max() + margin, points)
    parts = []
    for index in range(bins):
        mine = similarities[member == index]
        if len(np.unique(mine)) < 5:
            continue
        density = scipy.stats.gaussian_kde(mine)(grid)
        parts.append(
            pl.DataFrame({"similarity": grid, "density": density}).with_columns(
                pl.lit(f"{edges[index]:.1f} to {edges[index + 1]:.1f}").alias("gold"), pl.lit(len(mine)).alias("pairs")
            )
        )
    schema = {"similarity": pl.Float64, "density": pl.Float64, "gold": pl.String, "pairs": pl.Int32}
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)
