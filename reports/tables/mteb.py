"""MTEB's re-ranking average, the one number of MTEB that papers on these models print."""

from dataclasses import replace
from statistics import fmean

from dalr.reports.tables.grid import Block, Cell, Row, Table, summary, with_places
from dalr.reports.tables.published import PUBLISHED, published_notes, published_rows
from dalr.results import MTEB

RERANKING = "Reranking"
RERANKING_TASKS = ("AskUbuntuDupQuestions", "MindSmallReranking", "SciDocsRR", "StackOverflowDupQuestions")
"""The re-ranking tasks of the first English benchmark of MTEB."""


def with_reranking(table: Table, *, with_published: bool) -> Table:
    """The table with a column for the average over `RERANKING_TASKS`, of the seeds that have them all, and the
    published rows in it; as it is where no model was scored on any of them."""
    tasks = [f"{MTEB}{task}" for task in RERANKING_TASKS]
    if not set(tasks) & set(table.columns):
        return table
    blocks = [
        replace(block, rows=with_places([_averaged(row, tasks) for row in block.rows], [RERANKING]))
        for block in table.blocks
    ]
    columns = {**table.columns, RERANKING: "Reranking avg."}
    notes = [f"Reranking avg. is the mean of {', '.join(RERANKING_TASKS)}."]
    if with_published:
        blocks.append(Block(title=PUBLISHED, kind="published", rows=published_rows("mteb", columns)))
        notes += published_notes("mteb")
    return replace(table, columns=columns, blocks=tuple(blocks), notes=(*table.notes, *notes))


def _averaged(row: Row, tasks: list[str]) -> Row:
    cells = [row.cells.get(task, Cell()) for task in tasks]
    seeds = set.intersection(*(set(cell.by_seed) for cell in cells))
    source = next((source for cell in cells for source in cell.sources), "")
    values = {seed: (fmean(cell.by_seed[seed] for cell in cells), source) for seed in sorted(seeds, key=str)}
    sources = tuple(sorted({source for cell in cells for source in cell.sources})) if values else ()
    return replace(row, cells={**row.cells, RERANKING: replace(summary(values), sources=sources)})
