"""Tables as data: rows of cells with unrounded values, and whence each came. Writers print them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Literal

import polars as pl

from dalr.reports.load.frame import Loaded
from dalr.reports.load.published import PublishedRow, published
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
DECIMALS = 2
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


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of a table.

    `value`: the unrounded mean over `count` seeds, None where there is none. `deviation`: the sample
    standard deviation over the seeds, None below two. `by_seed`: the unrounded values behind them.
    `printed`: digits fixed by the maker, as those of a published cell. `place`: 1 best, 2 second of
    its block. `marks`: significance. `sources`: result files.
    """

    value: float | None = None
    deviation: float | None = None
    count: int = 0
    by_seed: Mapping[int | None, float] = field(default_factory=dict)
    printed: str | None = None
    printed_deviation: str | None = None
    place: int | None = None
    marks: str = ""
    sources: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The number as printed, rounded here and nowhere else; a dash where there is none."""
        if self.printed is not None:
            return self.printed
        return "–" if self.value is None else f"{self.value:z.{DECIMALS}f}"

    @property
    def deviation_text(self) -> str | None:
        """The deviation as printed."""
        if self.printed_deviation is not None:
            return self.printed_deviation
        return None if self.deviation is None else f"{self.deviation:.{DECIMALS}f}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table. `identity` is the frame's `row` for measured rows, the source's key for
    published ones; `seeds` are those of the measured runs."""

    label: str
    identity: str
    cells: Mapping[str, Cell]
    seeds: tuple[int | None, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows that may be compared with each other: one kind, one protocol, one kind of data."""

    title: str
    kind: Literal["measured", "published"]
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled grid: `columns` maps a cell's key to its heading. `key` says what must be known to read
    the numbers right, and is always in sight; `notes`, on sources and conventions, follow it."""

    name: str
    title: str
    columns: Mapping[str, str]
    blocks: tuple[Block, ...]
    key: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    row_heading: str = "Model"
    with_seeds: bool = True

    @property
    def below(self) -> tuple[str, ...]:
        """Everything that is printed below the grid."""
        return (*self.key, *self.notes)

    @property
    def measured(self) -> tuple[Row, ...]:
        """The measured rows of all blocks."""
        return tuple(row for block in self.blocks if block.kind == "measured" for row in block.rows)


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
    published_block = [_published_block(group, aggregation, columns)] if group in GROUPS and with_published else []
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


def summary(values: Mapping[int | None, tuple[float, str]]) -> Cell:
    """Mean and sample deviation over seeds of (value, source)."""
    numbers = [value for value, _ in values.values()]
    return Cell(
        value=fmean(numbers) if numbers else None,
        deviation=stdev(numbers) if len(numbers) > 1 else None,
        count=len(numbers),
        by_seed={seed: value for seed, (value, _) in values.items()},
        sources=tuple(sorted({source for _, source in values.values()})),
    )


def with_places(rows: Sequence[Row], columns: Sequence[str], *, highest: bool = True) -> tuple[Row, ...]:
    """The rows with the best and second value of each column marked; equal digits share a place.
    A single row is not the best of anything."""
    placed = [dict(row.cells) for row in rows]
    for column in columns:
        texts = {cells[column].text for cells in placed if column in cells and cells[column].value is not None}
        order = sorted(texts, key=float, reverse=highest)
        for cells in placed:
            cell = cells.get(column)
            if cell is not None and cell.value is not None and len(rows) > 1 and cell.text in order[:2]:
                cells[column] = replace(cell, place=order.index(cell.text) + 1)
    return tuple(replace(row, cells=cells) for row, cells in zip(rows, placed, strict=True))


def _published_block(group: str, aggregation: Aggregation, columns: Collection[str]) -> Block:
    """The published rows that have a score in one of the columns."""
    rows = tuple(_published(row) for row in published().of(group) if set(row.scores) & set(columns))
    other = "" if group != "sts" or aggregation == "all" else f", {AGGREGATIONS['all']}"
    return Block(title=f"Published, as printed by their sources{other}", kind="published", rows=rows)


def _published(row: PublishedRow) -> Row:
    cells = {
        task: Cell(value=float(text), printed=text, printed_deviation=row.deviations.get(task))
        for task, text in row.scores.items()
    }
    source = published().sources[row.source]
    note = f"[{row.source}]" + (" secondary" if source.secondary else "")
    return Row(label=row.label, identity=row.source, cells=cells, note=note)


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
    for row in (row for block in blocks if block.kind == "measured" for row in block.rows):
        short = [f"{name} ({cell.count})" for name, cell in row.cells.items() if 0 < cell.count < len(row.seeds)]
        if short:
            notes.append(f"{row.label}: fewer than its {len(row.seeds)} seeds in {', '.join(short)}.")
    rows = published().of(group) if with_published else ()
    for key in dict.fromkeys(row.source for row in rows):
        source = published().sources[key]
        marked = "SECONDARY SOURCE, not the authors' own words: " if source.secondary else ""
        notes.append(f"[{key}] {marked}{source.title}. {source.url}")
    notes += [f"{row.label}: {row.note}." for row in rows if row.note]
    return notes
