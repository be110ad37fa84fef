"""The figures of a sweep, each with a title and a caption that says what it shows."""

from collections.abc import Iterator

import polars as pl

from dalr.errors import InputError
from dalr.reports.figures import draw, draw_search
from dalr.reports.figures.curves import best_trials_metrics, evaluation_keys, learning_curves
from dalr.reports.figures.figure import Figure
from dalr.reports.figures.search import (
    axis_ends,
    expected_best_by_recipe,
    parallel_coordinates,
    pareto_cost,
    pareto_front,
    slices,
)
from dalr.reports.load.discover import Problem
from dalr.reports.load.importance import COLUMNS, importance
from dalr.reports.load.names import counted
from dalr.reports.load.slug import slug
from dalr.reports.load.sweeps import Sweep, trials

MOST_CURVES = len(draw.COLOURS)
MOST_SLICES = 8


def sweep_figures(sweep: Sweep, problems: list[Problem]) -> Iterator[Figure]:
    """The figures of one sweep, none of fewer than two trials with a value. A file that is damaged is added to
    `problems`."""
    done = trials(sweep)
    if done["value"].count() < 2:
        return
    name, value = slug(sweep.name), sweep.metrics[0]
    metrics = best_trials_metrics(sweep, done, MOST_CURVES)
    if not metrics.is_empty() and value in evaluation_keys(metrics):
        caption = f"{value} of the best {MOST_CURVES} trials, pruned ones among them; the band spans a trial's seeds."
        best = done.sort("value", descending=sweep.highest, nulls_last=True)["trial"]
        order = [f"trial {trial}" for trial in best.head(MOST_CURVES)]
        chart = draw.curves(learning_curves(metrics, value), value=value, order=order, title="Trial")
        yield Figure(f"curves-{name}", f"Sweep {sweep.name}: learning curves", caption, chart)
    yield Figure(
        f"expected-{name}",
        f"Sweep {sweep.name}: expected best against budget",
        "Mean of the best of n trials drawn from all, ± one standard deviation; failed trials count as the worst.",
        draw.expected(expected_best_by_recipe(sweep, done), value=value),
    )
    cost, _ = pareto_cost(sweep)
    against = "training seconds" if cost == "seconds" else cost
    yield Figure(
        f"pareto-{name}",
        f"Sweep {sweep.name}: {value} against {against}",
        f"Complete trials; diamonds are those that no other beats in both {value} and {against}.",
        draw_search.pareto(pareto_front(sweep, done), value=value, cost=against),
    )
    shares = _importance(sweep, problems)
    yield from _importance_figures(sweep, shares)
    if sweep.searched:
        paths = shares["path"].unique(maintain_order=True).to_list() if not shares.is_empty() else list(sweep.searched)
        parts = {path: slices(sweep, done, path) for path in paths[:MOST_SLICES]}
        caption = (
            "Every trial with a value, a pruned one with what it had reached; of very many, cells of trials, larger "
            "where there are more."
        )
        chart = draw_search.slice_plots(parts, value=value, logarithmic=sweep.logarithmic)
        yield Figure(f"slices-{name}", f"Sweep {sweep.name}: each parameter", caption, chart)
        caption = (
            "A line a trial, from parameter to parameter; each axis runs from the least to the greatest value tried. "
            "The best tenth is drawn thick."
        )
        lines = parallel_coordinates(sweep, done)
        chart = draw_search.parallel(lines, axis_ends(lines), value=value)
        yield Figure(f"parallel-{name}", f"Sweep {sweep.name}: parallel coordinates", caption, chart)


def _importance(sweep: Sweep, problems: list[Problem]) -> pl.DataFrame:
    try:
        return importance(sweep)
    except InputError as error:
        problems.append(Problem(path=sweep.name, message=str(error)))
        return pl.DataFrame(schema=COLUMNS)


def _importance_figures(sweep: Sweep, shares: pl.DataFrame) -> Iterator[Figure]:
    """One for each recipe."""
    recipes = shares["recipe"].unique(maintain_order=True).to_list()
    for recipe in recipes:
        mine = shares.filter(pl.col("recipe") == recipe)
        step = mine["step"][0]
        judged = "its value" if step is None else f"the score after {counted(step, 'step')}"
        caption = (
            f"PED-ANOVA: what puts a trial into the better half by {judged}; the rule spans the middle 90 % when "
            "trials are resampled."
        )
        one = len(recipes) == 1
        title = f"Sweep {sweep.name}: what matters" + ("" if one else f" to {recipe}")
        name = f"importance-{slug(sweep.name)}" + ("" if one else f"-{slug(recipe)}")
        yield Figure(name, title, caption, draw_search.importances(mine))
