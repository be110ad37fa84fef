"""All figures that the loaded data allow, each with a title and a caption that says what it shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dalr.results import GROUPS
from reports.examples import Examples
from reports.figures import draw, draw_models
from reports.figures.curves import (
    best_trials_metrics,
    evaluation_keys,
    learning_curves,
    read_metrics,
    term_contributions,
    term_factors,
)
from reports.figures.models import alignment_uniformity, similarity_by_gold, task_correlation
from reports.figures.search import expected_best_by_recipe, parallel_coordinates, pareto_cost, pareto_front, slices
from reports.importance import importance
from reports.leaderboard import slug
from reports.load import Loaded, Source
from reports.sweeps import Sweep, trials

MOST_CURVES = len(draw.COLOURS)
MOST_SLICES = 8
MOST_DENSITIES = 4


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart as a Vega-Lite specification that holds its own data."""

    name: str
    title: str
    caption: str
    spec: dict[str, Any]


def figures(
    loaded: Loaded,
    labels: Mapping[str, str],
    sweeps: Sequence[Sweep],
    best_first: Sequence[str],
    examples: Examples,
) -> list[Figure]:
    """The figures of a report. `best_first` are row labels, best first: where a figure has room for
    fewer models than there are, it shows the first of them and says so."""
    made = [*_curve_figures(loaded, labels, best_first), *_model_figures(loaded, labels)]
    made += _similarity_figure(loaded, labels, best_first, examples)
    for sweep in sweeps:
        made += _sweep_figures(sweep)
    return made


def _figure(name: str, title: str, caption: str, chart: draw.Spec) -> Figure:
    return Figure(name=name, title=title, caption=caption, spec=chart)


def _curve_figures(loaded: Loaded, labels: Mapping[str, str], best_first: Sequence[str]) -> Iterator[Figure]:
    chosen = list(dict.fromkeys(best_first))
    trained = [
        label for label in chosen if any(one.run and labels[one.row] == label for one in loaded.sources.values())
    ]
    metrics = _metrics(loaded.sources.values(), labels, trained[:MOST_CURVES])
    if metrics.is_empty():
        return
    left = f" The best {MOST_CURVES} of {len(trained)} models." if len(trained) > MOST_CURVES else ""
    for key in evaluation_keys(metrics)[:2]:
        caption = f"{key} while training: mean over seeds; the band spans the seeds.{left}"
        yield _figure(
            f"curves-{slug(key)}",
            f"Learning curves: {key}",
            caption,
            draw.curves(learning_curves(metrics, key), value=key),
        )
    for key, what in (("loss", "paired batches"), ("loss/text", "text batches")):
        losses = learning_curves(metrics, key)
        if not losses.is_empty():
            caption = f"The whole objective of {what}, mean over seeds; the band spans the seeds.{left}"
            chart = draw.curves(losses, value="loss")
            yield _figure(f"curves-{slug(key)}", f"Learning curves: loss of {what}", caption, chart)
    shares = term_contributions(metrics)
    if not shares.is_empty():
        caption = f"Each term times its weights, over the steps that have it: what it adds to the loss.{left}"
        yield _figure("terms", "Contribution of each term", caption, draw.contributions(shares))


def _metrics(sources: Iterator[Source] | Any, labels: Mapping[str, str], chosen: Sequence[str]) -> pl.DataFrame:
    folders = {}
    for source in sources:
        if source.run is not None and labels[source.row] in chosen:
            folders[source.run.folder] = (labels[source.row], source.run)
    parts = [
        read_metrics(folder / "metrics.jsonl", label=label, seed=run.seed, factors=term_factors(run.config))
        for folder, (label, run) in folders.items()
    ]
    return pl.concat(parts) if parts else pl.DataFrame()


def _model_figures(loaded: Loaded, labels: Mapping[str, str]) -> Iterator[Figure]:
    geometry = alignment_uniformity(loaded.scores, dict(labels))
    for variant in geometry["variant"].unique().sort():
        mine = geometry.filter(pl.col("variant") == variant)
        if mine.height < 2:
            continue
        chart = draw_models.plane(mine)
        caption = f"Alignment and uniformity as {variant} defines them; lower is better on both axes."
        yield _figure(f"plane-{slug(variant)}", f"Alignment and uniformity ({variant})", caption, chart)
    tasks = GROUPS["all"]
    correlation = task_correlation(loaded.scores, tasks)
    if not correlation.is_empty():
        caption = "Spearman's rank correlation of the models' scores between two tasks, over the models that have both."
        chart = draw_models.correlation(correlation, order=list(tasks))
        yield _figure("task-correlation", "How tasks go together", caption, chart)


def _similarity_figure(
    loaded: Loaded, labels: Mapping[str, str], best_first: Sequence[str], examples: Examples
) -> Iterator[Figure]:
    """The first STS-B result of each of the best models that kept its similarities."""
    task = "STSBenchmark"
    firsts: dict[str, Source] = {}
    for source in loaded.sources.values():
        if task in source.result.tasks:
            firsts.setdefault(labels[source.row], source)
    parts = []
    for label in [label for label in best_first if label in firsts][:MOST_DENSITIES]:
        details = examples.details(firsts[label], task)
        if details is not None and details.similarities is not None and details.gold is not None:
            data = similarity_by_gold(details.similarities, details.gold)
            parts.append(data.with_columns(pl.lit(label).alias("label")))
    if sum(part.height for part in parts):
        caption = f"Cosine similarity of the pairs of {task}, by their gold score; ranges that lie apart rank well."
        chart = draw_models.similarities(pl.concat(parts))
        yield _figure("similarities", "Similarity by gold score", caption, chart)


def _sweep_figures(sweep: Sweep) -> Iterator[Figure]:
    done = trials(sweep)
    if done["value"].count() < 2:
        return
    name, value = slug(sweep.name), sweep.metrics[0]
    metrics = best_trials_metrics(sweep, done, MOST_CURVES)
    if not metrics.is_empty() and value in evaluation_keys(metrics):
        caption = f"{value} of the best {MOST_CURVES} trials, pruned ones among them; the band spans a trial's seeds."
        chart = draw.curves(learning_curves(metrics, value), value=value)
        yield _figure(f"curves-{name}", f"Sweep {sweep.name}: learning curves", caption, chart)
    yield _figure(
        f"expected-{name}",
        f"Sweep {sweep.name}: expected best against budget",
        "Mean of the best of n trials drawn from all, ± one standard deviation; failed trials count as the worst.",
        draw.expected(expected_best_by_recipe(sweep, done), value=value),
    )
    cost, _ = pareto_cost(sweep)
    against = "training seconds" if cost == "seconds" else cost
    yield _figure(
        f"pareto-{name}",
        f"Sweep {sweep.name}: {value} against {against}",
        f"Complete trials; diamonds are those that no other beats in both {value} and {against}.",
        draw.pareto(pareto_front(sweep, done), value=value, cost=against),
    )
    shares = importance(sweep, done)
    if not shares.is_empty():
        caption = "PED-ANOVA over complete trials; the rule spans the middle 90 % when trials are resampled."
        yield _figure(f"importance-{name}", f"Sweep {sweep.name}: what matters", caption, draw.importances(shares))
    if sweep.searched:
        paths = shares["path"].to_list() if not shares.is_empty() else list(sweep.searched)
        parts = {path: slices(sweep, done, path) for path in paths[:MOST_SLICES]}
        caption = "Every trial with a value; of very many, cells of trials, larger where there are more."
        chart = draw.slice_plots(parts, value=value, logarithmic=sweep.logarithmic)
        yield _figure(f"slices-{name}", f"Sweep {sweep.name}: each parameter", caption, chart)
        caption = (
            "A line a trial, from parameter to parameter; each axis runs from the least to the greatest value tried."
        )
        chart = draw.parallel(parallel_coordinates(sweep, done), value=value)
        yield _figure(f"parallel-{name}", f"Sweep {sweep.name}: parallel coordinates", caption, chart)
