"""The table of a group of tasks: measured rows in blocks, then the published ones."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal

import polars as pl

from dalr.reports.load.frame import Loaded
from dalr.reports.load.published import published
from dalr.reports.tables.grid import DECIMALS, Block, Cell, Row, Table, fewer_seeds, summary, with_places
from dalr.reports.tables.published import PUBLISHED, published_notes, published_rows
from dalr.results import GROUPS, MTEB, RETRIEVAL

AVERAGE = "Avg"
SHORT = {"STSBenchmark": "STS-B", "SICKRelatedness": "SICK-R", "SST2": "SST"}
OWN = "own"
OF_MTEB = "mteb"
TITLES = {
    "sts": "Semantic textual similarity",
    "transfer": "Transfer tasks",
    OWN: "Tasks of your own",
    OF_MTEB: "MTEB tasks",
}
"""The groups of tasks that make a table each: the field's, `OWN`, the tasks that a user declared, and MTEB's.
The last two have no average, for their scales need not be alike, and nothing published beside them."""
SCALES = {
    OWN: "Declared in YAML beside the data: Spearman × 100 for pairs with scores, accuracy in percent of a logistic "
    "regression for classes.",
    OF_MTEB: "Scored by the package mteb on its own data: the main score of each task × 100.",
}
Averaging = Literal["unrounded", "mean-of-rounded"]
Aggregation = Literal["all", "mean", "wmean"]
AGGREGATIONS: dict[Aggregation, str] = {
    "all": "over all pairs of a task",
    "mean": "the mean over a task's subsets",
    "wmean": "the mean over a task's subsets, weighted by their pairs",
}
"""How STS12 to STS16, which have subsets, are scored."""
METRICS: dict[Aggregation, str] = {"all": "score", "mean": "mean", "wmean": "weighted_mean"}
WITH_SUBSETS = ("STS12", "STS13", "STS14", "STS15", "STS16")
_Score = tuple[int | None, str, float, str]  # seed, task, value, source


def task_table(
    group: str,
    loaded: Loaded,
    labels: Mapping[str, str],
    *,
    averaging: Averaging = "unrounded",
    aggregation: Aggregation = "all",
    chosen: Collection[str] = (),
    with_published: bool = True,
) -> Table:
    """The table of a group: measured rows in blocks, then the published ones. Its columns are the tasks that
    some model was scored on, of those `chosen` where some are; the average only with all of its tasks."""
    tasks = _tasks_of(group, loaded)
    scores = _scores(loaded, tasks, aggregation)
    rows_of: dict[tuple[bool, str], dict[str, list[_Score]]] = defaultdict(lambda: defaultdict(list))
    for row, seed, task, value, protocol, official, source in scores.iter_rows():
        rows_of[official, protocol][row].append((seed, task, value, source))
    wanted = [task for task in tasks if not chosen or task in chosen]
    measured = set(scores["task"])
    columns = {task: heading(task) for task in wanted if task in measured}
    blocks = []
    for official, protocol in sorted(rows_of, reverse=True):
        members = rows_of[official, protocol]
        average = averaging if group in GROUPS else None
        rows = [_measured(labels[row], row, lines, tasks, average) for row, lines in members.items()]
        rows = sorted((row for row in rows if any(row.cells[task].count for task in columns)), key=_best_first)
        unofficial = "" if official or group not in GROUPS else ", NOT on the official data"
        title = f"Measured, protocol {protocol}{unofficial}"
        blocks += [Block(title=title, kind="measured", rows=with_places(rows, (*tasks, AVERAGE)))] if rows else []
    if wanted == list(tasks) and any(average_of(row) is not None for block in blocks for row in block.rows):
        columns[AVERAGE] = "Avg."
    other = "" if group != "sts" or aggregation == "all" else f", {AGGREGATIONS['all']}"
    printed = published_rows(group, columns) if group in GROUPS and with_published else ()
    published_block = [Block(title=f"{PUBLISHED}{other}", kind="published", rows=printed)] if printed else []
    unmeasured = [heading(task) for task in wanted if task not in measured]
    hidden = [f"Not shown, for no model was scored on them: {', '.join(unmeasured)}."] if unmeasured else []
    return Table(
        name=group,
        title=TITLES[group],
        columns=columns,
        blocks=(*blocks, *published_block),
        key=_aggregated(group, aggregation, with_published=bool(published_block)),
        notes=(*_notes(group, blocks, averaging, with_published=bool(published_block)), *hidden),
    )


def _tasks_of(group: str, loaded: Loaded) -> tuple[str, ...]:
    if group in GROUPS:
        return GROUPS[group]
    others = {task for source in loaded.sources.values() for task in source.result.tasks} - {*GROUPS["all"], RETRIEVAL}
    return tuple(sorted(task for task in others if task.startswith(MTEB) == (group == OF_MTEB)))


def heading(task: str) -> str:
    """What stands above a task's column."""
    return SHORT.get(task, task.removeprefix(MTEB))


def _scores(loaded: Loaded, tasks: Sequence[str], aggregation: Aggregation) -> pl.DataFrame:
    """Each result's scores of `tasks`, in percent, as `aggregation` makes them."""
    of_subsets = pl.col("task").is_in(WITH_SUBSETS)
    metric = pl.when(of_subsets).then(pl.lit(METRICS[aggregation])).otherwise(pl.lit("score"))
    percent = pl.when(pl.col("metric") == "score").then(pl.col("value")).otherwise(100 * pl.col("value"))
    return (
        loaded.scores.filter(pl.col("task").is_in(tasks), pl.col("metric") == metric)
        .select("row", "seed", "task", percent.alias("value"), "protocol", "official_data", "source")
        .collect()
    )


def _aggregated(group: str, aggregation: Aggregation, *, with_published: bool) -> tuple[str, ...]:
    if group != "sts" or aggregation == "all":
        return ()
    others = f" The published rows are {AGGREGATIONS['all']} and do not compare." if with_published else ""
    return (f"STS12 to STS16: Spearman's correlation is {AGGREGATIONS[aggregation]}.{others}",)


def average_of(row: Row) -> float | None:
    """A row's average; None where it has none."""
    return row.cells[AVERAGE].value if AVERAGE in row.cells else None


def _best_first(row: Row) -> tuple[float, str]:
    average = average_of(row)
    return (float("inf") if average is None else -average, row.label)


def _measured(label: str, row: str, lines: Sequence[_Score], tasks: Sequence[str], averaging: Averaging | None) -> Row:
    """A row; without an average where `averaging` is None."""
    by_task: dict[str, dict[int | None, tuple[float, str]]] = {task: {} for task in tasks}
    for seed, task, value, source in lines:
        by_task[task][seed] = (value, source)
    cells = {task: summary(by_task[task]) for task in tasks}
    if averaging:
        cells[AVERAGE] = _average(by_task, averaging)
    seeds = sorted({seed for seed, *_ in lines}, key=lambda seed: (seed is None, seed))
    return Row(label=label, identity=row, cells=cells, seeds=tuple(seeds))


def _average(by_task: Mapping[str, Mapping[int | None, tuple[float, str]]], averaging: Averaging) -> Cell:
    """The average of the seeds that have all tasks."""
    first = next(iter(by_task.values()))
    averages = {}
    for seed in (seed for seed in first if all(seed in values for values in by_task.values())):
        scores = [values[seed][0] for values in by_task.values()]
        if averaging == "mean-of-rounded":
            scores = [round(score, DECIMALS) for score in scores]
        averages[seed] = (fmean(scores), first[seed][1])
    sources = {source for values in by_task.values() for _, source in values.values()}
    return replace(summary(averages), sources=tuple(sorted(sources)))


def _notes(group: str, blocks: Sequence[Block], averaging: Averaging, *, with_published: bool) -> list[str]:
    what = (
        f"{'Measured and published' if with_published else 'Measured'}: {published().protocols[group]}."
        if group in GROUPS
        else SCALES[group]
    )
    how = "unrounded task scores" if averaging == "unrounded" else "task scores rounded to two decimals"
    printed = "; published averages are as printed" if with_published else ""
    notes = [
        f"{what} ± is the sample standard deviation over seeds.",
        "Bold is the best, underlined the second of a block of measured rows. – means not measured.",
        *([f"Avg. is the mean of the {how}{printed}."] if group in GROUPS else []),
    ]
    measured = [row for block in blocks if block.kind == "measured" for row in block.rows]
    return [*notes, *fewer_seeds(measured), *(published_notes(group) if with_published else ())]
