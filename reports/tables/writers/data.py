"""Tables for other programs: CSV with the digits as printed, Parquet with unrounded values."""

import csv
import io
from typing import Any

import polars as pl

from dalr.reports.load.names import one_line
from dalr.reports.tables.grid import Cell, Table

CELL_SCHEMA: dict[str, Any] = {
    "block": pl.String,
    "kind": pl.String,
    "label": pl.String,
    "identity": pl.String,
    "column": pl.String,
    "value": pl.Float64,
    "deviation": pl.Float64,
    "count": pl.Int64,
    "text": pl.String,
    "marks": pl.String,
    "sources": pl.List(pl.String),
}


def comma_separated(table: Table) -> str:
    """One line a row: its label, kind (measured, published), block, note and seeds; then for each
    column the digits as printed and the deviation's (empty: there is none); marks apart."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [part for column in table.columns for part in (column, f"{column}_deviation", f"{column}_marks")]
    writer.writerow([table.row_heading.lower(), "kind", "block", "note", "seeds", *names])
    for block in table.blocks:
        for row in block.rows:
            seeds = " ".join("" if seed is None else str(seed) for seed in row.seeds)
            line = [one_line(row.label), block.kind, one_line(block.title), one_line(row.note), seeds]
            for column in table.columns:
                cell = row.cells.get(column, Cell())
                line += [
                    "" if cell.value is None and cell.printed is None else cell.text,
                    cell.deviation_text or "",
                    cell.marks,
                ]
            writer.writerow(line)
    return text.getvalue()


def cell_frame(table: Table) -> pl.DataFrame:
    """One line a cell, unrounded, with the names of the result files behind it."""
    lines = []
    for block in table.blocks:
        for row in block.rows:
            for column in table.columns:
                cell = row.cells.get(column, Cell())
                head = (block.title, block.kind, row.label, row.identity, column)
                lines.append((*head, cell.value, cell.deviation, cell.count, cell.text, cell.marks, list(cell.sources)))
    return pl.DataFrame(lines, schema=CELL_SCHEMA, orient="row")


def wide_frame(table: Table) -> pl.DataFrame:
    """One line a row: `row`, `kind`, `block`, `note`, `seeds` (how many), then each column unrounded, followed by
    its `_deviation` where some cell has one. A column of words is text."""
    rows = [(block, row) for block in table.blocks for row in block.rows]
    columns: dict[str, list[Any]] = {
        "row": [row.label for _, row in rows],
        "kind": [block.kind for block, _ in rows],
        "block": [block.title for block, _ in rows],
        "note": [row.note for _, row in rows],
        "seeds": [len(row.seeds) for _, row in rows],
    }
    for column in table.columns:
        cells = [row.cells.get(column, Cell()) for _, row in rows]
        numeric = all(cell.value is not None or cell.printed is None for cell in cells)
        columns[column] = [cell.value if numeric else cell.text for cell in cells]
        if any(cell.deviation is not None for cell in cells):
            columns[f"{column}_deviation"] = [cell.deviation for cell in cells]
    return pl.DataFrame(columns, infer_schema_length=None)
