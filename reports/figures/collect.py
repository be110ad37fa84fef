"""All figures that the loaded data allow, each with a title and a caption that says what it shows."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from dalr.metrics_log import METRICS
from dalr.reports.examples import Examples
from dalr.reports.figures import draw, draw_models
from dalr.reports.figures.curves import (
    evaluation_keys,
    learning_curves,
    read_metrics,
    term_contributions,
    term_factors,
)
from dalr.reports.figures.figure import Figure
from dalr.reports.figures.models import alignment_uniformity, similarity_by_gold, task_correlation
from dalr.reports.figures.sweeps import sweep_figures
from dalr.reports.load.discover import Problem
from dalr.reports.load.frame import Loaded, Source
from dalr.reports.load.slug import slug
from dalr.reports.load.sweeps import Sweep
from dalr.reports.tables.scores import SHORT
from dalr.results import GROUPS

MOST_CURVES = len(draw.COLOURS)
MOST_DENSITIES = 4
MOST_NAMES = 14  # points of a plane that are told apart by colour and shape


@dataclass(frozen=True, kw_only=True)
class FigureSelection:
    """Which models a figure shows where it has room for fewer than there are: those that it always shows,
    and the first of the others. Both are row labels; `best_first` has all."""

    best_first: Sequence[str]
    always: Sequence[str] = ()

    def first(self, count: int, among: Container[str]) -> list[str]:
        """At most `count` of the labels in `among`, best first."""
        present = [label for label in dict.fromkeys(self.best_first) if label in among]
        kept = sorted(present, key=lambda label: label not in self.always)[:count]
        return [label for label in present if label in kept]


def figures(
    loaded: Loaded,
    labels: Mapping[str, str],
    sweeps: Sequence[Sweep],
    wanted: FigureSelection,
    examples: Examples,
    problems: list[Problem],
) -> list[Figure]:
    """The figures of a report. A figure whose file is damaged is left out, and the file is added to `problems`."""
    made = [*_curve_figures(loaded, labels, wanted, problems), *_model_figures(loaded, labels, wanted)]
    made += _similarity_figure(loaded, labels, wanted, examples)
    for sweep in sweeps:
        made += sweep_figures(sweep, problems)
    return made


def _curve_figures(
    loaded: Loaded, labels: Mapping[str, str], wanted: FigureSelection, problems: list[Problem]
) -> Iterator[Figure]:
    trained = {labels[source.row] for source in loaded.sources.values() if source.run and not source.run.untrained}
    chosen = wanted.first(MOST_CURVES, trained)
    metrics = _metrics(loaded, labels, chosen, problems)
    if metrics.is_empty():
        return
    left = _left(len(chosen), len(trained))
    for key in evaluation_keys(metrics)[:2]:
        caption = f"{key} while training: mean over seeds; the band spans the seeds.{left}"
        yield Figure(
            f"curves-{slug(key)}",
            f"Learning curves: {key}",
            caption,
            draw.curves(learning_curves(metrics, key), value=key, order=chosen),
        )
    for key, what in (("loss", "paired batches"), ("loss/text", "text batches")):
        losses = learning_curves(metrics, key)
        if not losses.is_empty():
            caption = (
                f"The whole objective of {what}, mean over seeds; the band spans the seeds. Objectives with other "
                f"terms or weights do not compare.{left}"
            )
            chart = draw.curves(losses, value="loss", order=chosen)
            yield Figure(f"curves-{slug(key)}", f"Learning curves: loss of {what}", caption, chart)
    shares = term_contributions(metrics)
    if not shares.is_empty():
        caption = (
            "Each term times its weights, over the steps that have it: what it adds to the loss, on a logarithmic "
            f"scale.{left}"
        )
        yield Figure("terms", "Contribution of each term", caption, draw.contributions(shares, order=chosen))


def _left(shown: int, total: int) -> str:
    return f" {shown} of {total} models, the best ones and those compared with." if shown < total else ""


def _metrics(loaded: Loaded, labels: Mapping[str, str], chosen: Sequence[str], problems: list[Problem]) -> pl.DataFrame:
    runs = {
        source.run.folder: (labels[source.row], source.run)
        for source in loaded.sources.values()
        if source.run is not None and labels[source.row] in chosen
    }
    parts = []
    for folder, (label, run) in runs.items():
        path = folder / METRICS
        metrics, damaged = read_metrics(path, label=label, seed=run.seed, factors=term_factors(run.config))
        parts.append(metrics)
        if damaged:
            message = f"{damaged} of its lines cannot be read; its curves are drawn without them"
            problems.append(Problem(path=loaded.names.of(path), message=message))
    return pl.concat(parts) if parts else pl.DataFrame()


def _model_figures(loaded: Loaded, labels: Mapping[str, str], wanted: FigureSelection) -> Iterator[Figure]:
    geometry = alignment_uniformity(loaded.scores, dict(labels))
    for variant in geometry["variant"].unique().sort():
        mine = geometry.filter(pl.col("variant") == variant)
        if mine.height < 2:
            continue
        named = wanted.first(MOST_NAMES, set(mine["label"]))
        chart = draw_models.plane(mine, order=named)
        caption = f"Alignment and uniformity as {variant} defines them; lower is better on both axes." + (
            f" The {mine.height - len(named)} grey points are the other models." if len(named) < mine.height else ""
        )
        yield Figure(f"plane-{slug(variant)}", f"Alignment and uniformity ({variant})", caption, chart)
    tasks = GROUPS["all"]
    correlation = task_correlation(loaded.scores, tasks)
    if not correlation.is_empty():
        caption = "Spearman's rank correlation of the models' scores between two tasks, over the models that have both."
        short = {task: SHORT.get(task, task) for task in tasks}
        renamed = correlation.with_columns(pl.col("a", "b").replace(short))
        chart = draw_models.correlation(renamed, order=list(short.values()))
        yield Figure("task-correlation", "How tasks go together", caption, chart)


def _similarity_figure(
    loaded: Loaded, labels: Mapping[str, str], wanted: FigureSelection, examples: Examples
) -> Iterator[Figure]:
    """The first STS-B result of each of the best models that kept its similarities."""
    task = "STSBenchmark"
    firsts: dict[str, Source] = {}
    for source in loaded.sources.values():
        if task in source.result.tasks:
            firsts.setdefault(labels[source.row], source)
    parts = []
    chosen = wanted.first(MOST_DENSITIES, firsts)
    for label in chosen:
        details = examples.details(firsts[label], task)
        if details is not None and details.similarities is not None and details.gold is not None:
            data = similarity_by_gold(details.similarities, details.gold)
            parts.append(data.with_columns(pl.lit(label).alias("label")))
    if sum(part.height for part in parts):
        caption = f"Cosine similarity of the pairs of {task}, by their gold score; ranges that lie apart rank well."
        caption += _left(len(chosen), len(firsts))
        chart = draw_models.similarities(pl.concat(parts), order=chosen)
        yield Figure("similarities", "Similarity by gold score", caption, chart)
