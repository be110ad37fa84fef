"""Tables as data: rows of cells with unrounded values, and whence each came. Writers print them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Literal

import polars as pl

from dalr.reports.load.frame import Loaded
from dalr.reports.load.published import PublishedRow, published
from dalr.results import GROUPS

AVERAGE = "Avg"
SHORT = {"STSBenchmark": "STS-B", "SICKRelatedness": "SICK-R", "SST2": "SST"}
TITLES = {"sts": "Semantic textual similarity", "transfer": "Transfer tasks"}
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


def columns_of(group: str) -> dict[str, str]:
    """Task → heading in the field's order, with the average last."""
    return {task: SHORT.get(task, task) for task in GROUPS[group]} | {AVERAGE: "Avg."}


def task_table(
    group: str,
    loaded: Loaded,
    labels: Mapping[str, str],
    *,
    averaging: Averaging = "unrounded",
    aggregation: Aggregation = "all",
) -> Table:
    """The table of group `sts` or `transfer`: measured rows in blocks, then the published ones."""
    tasks = GROUPS[group]
    scores = _scores(loaded, tasks, aggregation)
    rows_of: dict[tuple[bool, str], dict[str, list[_Score]]] = defaultdict(lambda: defaultdict(list))
    for row, seed, task, value, protocol, official, source in scores.iter_rows():
        rows_of[official, protocol][row].append((seed, task, value, source))
    blocks = []
    for official, protocol in sorted(rows_of, reverse=True):
        members = rows_of[official, protocol]
        rows = [_measured(labels[row], row, lines, tasks, averaging) for row, lines in members.items()]
        rows.sort(key=_best_first)
        title = f"Measured, protocol {protocol}" + ("" if official else ", NOT on the official data")
        blocks.append(Block(title=title, kind="measured", rows=with_places(rows, (*tasks, AVERAGE))))
    blocks.append(_published_block(group, aggregation))
    return Table(
        name=group,
        title=TITLES[group],
        columns=columns_of(group),
        blocks=tuple(blocks),
        key=_aggregated(group, aggregation),
        notes=tuple(_notes(group, blocks, averaging)),
    )


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


def _aggregated(group: str, aggregation: Aggregation) -> tuple[str, ...]:
    if group != "sts" or aggregation == "all":
        return ()
    return (
        f"STS12 to STS16: Spearman's correlation is {AGGREGATIONS[aggregation]}. The published rows are "
        f"{AGGREGATIONS['all']} and do not compare.",
    )


def _best_first(row: Row) -> tuple[float, str]:
    average = row.cells[AVERAGE].value
    return (float("inf") if average is None else -average, row.label)


def _measured(label: str, row: str, lines: Sequence[_Score], tasks: Sequence[str], averaging: Averaging) -> Row:
    by_task: dict[str, dict[int | None, tuple[float, str]]] = {task: {} for task in tasks}
    for seed, task, value, source in lines:
        by_task[task][seed] = (value, source)
    cells = {task: summary(by_task[task]) for task in tasks}
    complete = [seed for seed in by_task[tasks[0]] if all(seed in by_task[task] for task in tasks)]
    averages: dict[int | None, tuple[float, str]] = {}
    for seed in complete:
        values = [by_task[task][seed][0] for task in tasks]
        if averaging == "mean-of-rounded":
            values = [round(value, DECIMALS) for value in values]
        averages[seed] = (fmean(values), by_task[tasks[0]][seed][1])
    sources = tuple(sorted({source for *_, source in lines}))
    cells[AVERAGE] = replace(summary(averages), sources=sources)
    seeds = sorted({seed for seed, *_ in lines}, key=lambda seed: (seed is None, seed))
    return Row(label=label, identity=row, cells=cells, seeds=tuple(seeds))


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


def _published_block(group: str, aggregation: Aggregation) -> Block:
    rows = tuple(_published(row) for row in published().of(group))
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


def _notes(group: str, blocks: Sequence[Block], averaging: Averaging) -> list[str]:
    notes = [
        f"Measured and published: {published().protocols[group]}. ± is the sample standard deviation over seeds.",
        "Bold is the best, underlined the second of a block of measured rows. – means not measured.",
        "Avg. is the mean of the "
        + ("unrounded task scores" if averaging == "unrounded" else "task scores rounded to two decimals")
        + "; published averages are as printed.",
    ]
    for row in (row for block in blocks if block.kind == "measured" for row in block.rows):
        short = [f"{name} ({cell.count})" for name, cell in row.cells.items() if 0 < cell.count < len(row.seeds)]
        if short:
            notes.append(f"{row.label}: fewer than its {len(row.seeds)} seeds in {', '.join(short)}.")
    rows = published().of(group)
    for key in dict.fromkeys(row.source for row in rows):
        source = published().sources[key]
        marked = "SECONDARY SOURCE, not the authors' own words: " if source.secondary else ""
        notes.append(f"[{key}] {marked}{source.title}. {source.url}")
    notes += [f"{row.label}: {row.note}." for row in rows if row.note]
    return notes
