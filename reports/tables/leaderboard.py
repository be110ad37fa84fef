"""Tables of sweeps: the leaderboard of one, and the comparison of several at equal budget."""

import math
from collections.abc import Sequence

import polars as pl

from dalr.reports.load.names import counted
from dalr.reports.load.slug import slug
from dalr.reports.load.sweeps import ARM, Sweep, best_points, extended, short_path, trials
from dalr.reports.tables.budgets import apart
from dalr.reports.tables.grid import Block, Cell, Row, Table, with_places
from dalr.statistics.best_of_n import expected_best

TOP = 20


def leaderboard(sweep: Sweep, done: pl.DataFrame, *, top: int = TOP) -> Table:
    """The best `top` trials of a sweep: value ± deviation over seeds, cost, and the point."""
    ranked = best_points(sweep).head(top)
    columns = {
        "value": sweep.metrics[0],
        **{metric: metric for metric in sweep.further_metrics},
        "seeds": "Seeds",
        "steps": "Steps",
        "seconds": "Seconds",
    }
    columns |= {path: short_path(path, sweep.searched) for path in sweep.searched}
    rows = []
    for trial in ranked.iter_rows(named=True):
        cells = {
            "value": Cell(
                value=trial["value"],
                deviation=trial["deviation"],
                count=trial["seeds"],
                sources=(f"{sweep.place}/trials.parquet",),
            ),
            **{metric: Cell(value=trial[metric], count=trial["seeds"]) for metric in sweep.further_metrics},
            "seeds": _number(trial["seeds"]),
            "steps": _number(trial["steps"]),
            "seconds": _number(trial["seconds"]),
            **{path: _setting(trial[path]) for path in sweep.searched},
        }
        name = f"trial {trial['trial']}" + (f", {trial[ARM]}" if sweep.arms else "")
        label = name if done["recipe"].n_unique() == 1 else f"{trial['recipe']}, {name}"
        rows.append(Row(label=label, identity=f"{sweep.name}#{trial['trial']}", cells=cells))
    placed = with_places(rows, ["value"], highest=sweep.highest)
    return Table(
        name=f"leaderboard-{slug(sweep.name)}",
        title=f"Sweep {sweep.name}: the best trials",
        columns=columns,
        blocks=(Block(title="", kind="measured", rows=placed),),
        notes=tuple(_fates(sweep, done, len(rows))),
        row_heading="Trial",
        with_seeds=False,
    )


def _fates(sweep: Sweep, done: pl.DataFrame, shown: int) -> list[str]:
    counts = dict(done["state"].value_counts().iter_rows())
    parts = [
        f"{counts[state]} {state}"
        for state in ("complete", "pruned", "stopped", "skipped", "failed")
        if state in counts
    ]
    which = "all" if shown == counts.get("complete", 0) else f"the best {shown}"
    notes = [f"{counted(done.height, 'trial')}: {', '.join(parts)}; {which} complete ones are shown."]
    notes.append(f"Value: {sweep.metrics[0]} ({sweep.directions[0]}), the metric searched on, not a test score.")
    reasons = done.filter(pl.col("state") == "failed", pl.col("reason").is_not_null())["reason"].value_counts(sort=True)
    for trial, steps, value in extended(sweep).iter_rows():
        reached = "never evaluated" if value is None else f"{value:.2f}"
        notes.append(f"Extended: trial {trial} to {steps} steps, {reached}; its value here is that of the search.")
    notes += [f"Failed ({count}): {reason}" for reason, count in reasons.head(5).iter_rows()]
    return notes


def equal_budget(sweeps: Sequence[Sweep]) -> Table | None:
    """Recipes of sweeps side by side: trials, steps and seconds spent, the best value, and the expected
    best at the smallest number of trials among them. None where there is nothing to compare.

    Sweeps of another metric or direction than the first one's are left out, and named in a note. Where
    trials, steps or seconds differ by more than 5 %, title and notes say that budgets are unequal.
    """
    if not sweeps:
        return None
    first = sweeps[0]
    alike = [sweep for sweep in sweeps if (sweep.metrics[0], sweep.highest) == (first.metrics[0], first.highest)]
    frames = [(sweep, recipe, part) for sweep in alike for recipe, part in _by_recipe(sweep)]
    if len(frames) < 2:
        return None
    common = min(part.height for _, _, part in frames)
    rows = [_budget_row(sweep, recipe, part, common, several=len(alike) > 1) for sweep, recipe, part in frames]
    unequal = [name for name in ("trials", "steps", "seconds") if apart(row.cells[name].value for row in rows)]
    most = f"the mean of the best of {common} drawn from all (Dodge et al. 2019)"
    notes = [f"Expected best of {counted(common, 'trial')}: {most}."]
    left = [sweep.name for sweep in sweeps if sweep not in alike]
    if left:
        notes.append(f"Not compared, for they search on another metric: {', '.join(left)}.")
    return Table(
        name="equal-budget",
        title="Recipes at equal budget" if not unequal else "Recipes at UNEQUAL budgets",
        columns={
            "trials": "Trials",
            "steps": "Steps",
            "seconds": "Seconds",
            "best": f"Best {first.metrics[0]}",
            "expected": f"Expected best of {common}",
        },
        blocks=(Block(title="", kind="measured", rows=with_places(rows, ["best", "expected"], highest=first.highest)),),
        key=(f"UNEQUAL BUDGETS: {', '.join(unequal)} differ by more than 5 %; best values do not compare.",)
        if unequal
        else (),
        notes=tuple(notes),
        row_heading="Recipe",
        with_seeds=False,
    )


def _by_recipe(sweep: Sweep) -> list[tuple[str, pl.DataFrame]]:
    done = trials(sweep)
    return [(recipe, done.filter(pl.col("recipe") == recipe)) for recipe in done["recipe"].unique().sort()]


def _budget_row(sweep: Sweep, recipe: str, done: pl.DataFrame, common: int, *, several: bool) -> Row:
    values = done["value"].cast(pl.Float64).fill_null(math.nan).to_numpy()
    best = next(iter(best_points(sweep).filter(pl.col("recipe") == recipe)["value"]), None)
    best_of = expected_best(values, highest=sweep.highest, trials=[common])
    sources = (f"{sweep.place}/trials.parquet",)
    cells = {
        "trials": _number(done.height),
        "steps": _number(float(done["steps"].sum())),
        "seconds": _number(float(done["seconds"].sum())),
        "best": Cell(value=None if best is None else float(best), count=1, sources=sources),
        "expected": Cell(
            value=float(best_of.mean[0]) if len(best_of.mean) else None,
            deviation=float(best_of.deviation[0]) if len(best_of.mean) else None,
            count=done.height,
            sources=sources,
        ),
    }
    label = f"{recipe} ({sweep.name})" if several else recipe
    return Row(label=label, identity=f"{sweep.name}#{recipe}", cells=cells)


def _number(value: float | None) -> Cell:
    return Cell() if value is None else Cell(value=float(value), printed=f"{value:,.0f}")


def _setting(value: object) -> Cell:
    if value is None:
        return Cell()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(value=float(value), printed=f"{value:.3g}" if isinstance(value, float) else str(value))
    return Cell(printed=str(value))
