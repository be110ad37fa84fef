"""What a sweep's final runs show: its best points and the base recipe, on seeds that the search never saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from reports.names import without_paths
from reports.parquet import read_parquet
from reports.significance import Comparison, compare, marked, note
from reports.slug import slug
from reports.sweeps import Sweep
from reports.tables import SHORT, Block, Cell, Row, Table, summary

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
        return next((name for name in AVERAGES if name in self.table.columns), next(iter(self.table.columns)))


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
            *_failures(frame),
        ),
        row_heading="Point",
    )
    return Finals(table=table, comparisons=tuple(comparisons))


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
