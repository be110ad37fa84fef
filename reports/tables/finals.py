"""What a sweep's final runs show: its best points and the base recipe, on seeds that the search never saw."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import polars as pl

from dalr.reports.load.names import without_paths
from dalr.reports.load.parquet import read_parquet
from dalr.reports.load.slug import slug
from dalr.reports.load.sweeps import Sweep, trials
from dalr.reports.significance import LEVEL, Comparison, compare, marked, note
from dalr.reports.tables.scores import SHORT, Block, Cell, Row, Table, summary
from dalr.statistics import holm

FILE = "finals.parquet"
REQUIRED = ("candidate", "seed", "state")
AVERAGES = {"sts_avg": "STS Avg.", "transfer_avg": "Transfer Avg."}
BASE = "the recipe itself"


@dataclass(frozen=True, kw_only=True)
class Finals:
    """The table of a sweep's final runs, and each candidate's comparisons with its recipe."""

    table: Table
    comparisons: tuple[Comparison, ...]

    @property
    def decisive(self) -> str:
        """The column that tells whether the search has paid: a test average, else the metric searched on."""
        return _decisive(self.table.columns)


def _decisive(columns: Iterable[str]) -> str:
    names = list(columns)
    return next((name for name in AVERAGES if name in names), names[0])


def finals(sweep: Sweep) -> Finals | None:
    """The final runs of a sweep; None where it has made none.

    Raises:
        InputError: finals.parquet is damaged or lacks a column.
    """
    path = sweep.folder / FILE
    if not path.is_file():
        return None
    frame = read_parquet(path, REQUIRED)
    if "recipe" not in frame.columns:
        frame = frame.with_columns(pl.lit("").alias("recipe"))
    done = frame.filter(pl.col("state") == "complete")
    columns = _columns(sweep, done)
    if done.is_empty() or not columns:
        return None
    blocks, comparisons, notes = [], [], []
    recipes = done["recipe"].unique(maintain_order=True).to_list()
    for recipe in recipes:
        rows = _rows(sweep, done.filter(pl.col("recipe") == recipe), columns, recipe if len(recipes) > 1 else "")
        base = next((row for row in rows if row.label.endswith(BASE)), None)
        found = compare([row for row in rows if row is not base], base, list(columns), _untested) if base else []
        blocks.append(Block(title=recipe, kind="measured", rows=marked(rows, found)))
        comparisons += found
        if base and found:
            notes.append(note(base.label, found))
    table = Table(
        name=f"finals-{slug(sweep.name)}",
        title=f"Sweep {sweep.name}: final runs on fresh seeds",
        columns=columns,
        blocks=tuple(blocks),
        key=tuple(notes),
        notes=(
            f"{sweep.metrics[0]} is the metric searched on, here on seeds that the search never saw.",
            *_between_recipes(sweep, blocks, columns),
            *_failures(frame),
        ),
        row_heading="Point",
    )
    return Finals(table=table, comparisons=tuple(comparisons))


def _between_recipes(sweep: Sweep, blocks: Sequence[Block], columns: Mapping[str, str]) -> list[str]:
    """Each recipe's winner, chosen by what the search saw, against each other's on the score that decides,
    corrected over the pairs."""
    winners = [row for block in blocks if (row := _winner(sweep, block))]
    column = _decisive(columns)
    found = [one for ours, theirs in combinations(winners, 2) for one in compare([ours], theirs, [column], _untested)]
    adjusted = holm({str(place): one.seed_p for place, one in enumerate(found) if one.seed_p is not None})
    return [_said(one, adjusted.get(str(place)), columns[column]) for place, one in enumerate(found)]


def _said(one: Comparison, p: float | None, score: str) -> str:
    lead = f"{one.row} against {one.against}: {one.difference:+.2f} points on {score}"
    if p is None:
        return f"{lead}, too few seeds for a test."
    test = f"p = {p:.2g}, t-test over {one.seeds} seeds, Holm-corrected over the pairs of recipes"
    return f"{lead}, {'beyond' if p < LEVEL else 'within'} chance ({test})."


def _winner(sweep: Sweep, block: Block) -> Row | None:
    """The row of the best of a recipe's trials that has final runs."""
    done = trials(sweep).filter(pl.col("state") == "complete", pl.col("recipe") == block.title)
    rows = {row.label.rpartition(" ")[2]: row for row in block.rows if not row.label.endswith(BASE)}
    best = done.sort("value", descending=sweep.highest, nulls_last=True)["trial"]
    return next((rows[str(trial)] for trial in best if str(trial) in rows), None)


def _untested(*_: object) -> None:
    """Examples are tested where all models stand together, in the tables of the tasks."""


def _columns(sweep: Sweep, done: pl.DataFrame) -> dict[str, str]:
    """The metric, the tests and their averages, as far as they are there, with their headings."""
    headings = {sweep.metrics[0]: sweep.metrics[0]}
    headings |= {
        name: SHORT.get(name.removesuffix(".test"), name.removesuffix(".test"))
        for name in done.columns
        if name.endswith(".test")
    }
    headings |= AVERAGES
    return {name: text for name, text in headings.items() if name in done.columns and done[name].count()}


def _rows(sweep: Sweep, done: pl.DataFrame, columns: dict[str, str], recipe: str) -> list[Row]:
    rows = []
    for candidate in done["candidate"].unique().sort(nulls_last=True):
        mine = done.filter(pl.col("candidate").eq_missing(candidate))
        what = BASE if candidate is None else f"trial {candidate}"
        cells = {name: _cell(mine, name, f"{sweep.place}/{FILE}") for name in columns}
        seeds = tuple(mine["seed"].sort())
        label = f"{recipe}, {what}" if recipe else what
        rows.append(Row(label=label, identity=f"{sweep.name}#final#{label}", cells=cells, seeds=seeds))
    return rows


def _cell(runs: pl.DataFrame, column: str, source: str) -> Cell:
    pairs = runs.select("seed", column).filter(pl.col(column).is_finite()).iter_rows()
    return summary({seed: (value, source) for seed, value in pairs})


def _failures(frame: pl.DataFrame) -> Sequence[str]:
    failed = frame.filter(pl.col("state") != "complete")
    if failed.is_empty():
        return []
    reasons = failed["reason"].drop_nulls().unique().sort().to_list() if "reason" in failed.columns else []
    return [f"{failed.height} final runs failed: {without_paths('; '.join(reasons)) or 'no reason was kept'}"]
