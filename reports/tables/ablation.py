"""The ablation table: a reference row, and what each other row changes in settings and in scores."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import fmean, stdev

from dalr.errors import InputError
from dalr.reports.load.frame import Source
from dalr.reports.load.names import plain
from dalr.reports.significance import RowTests, marked, note
from dalr.reports.tables.grid import Block, Cell, Row, Table
from dalr.reports.tables.labels import differing_settings

MOST_CHANGES = 6


def ablation(table: Table, reference: str, sources: Iterable[Source], tests: RowTests) -> Table | None:
    """Differences of the rows of `reference`'s block to it, in points, each row labelled by the
    settings that it changes and tested against it. None where the reference has no other run's row beside it.

    Only rows of the same kind of run count: those within `MOST_CHANGES` settings of the reference.

    Raises:
        InputError: no row of that name.
    """
    blocks = [block for block in table.blocks if any(row.label == reference for row in block.rows)]
    if not blocks or blocks[0].kind != "measured":
        raise InputError(f"no measured row is called {reference!r}; there are: {_known(table)}")
    # An untrained model has no settings that it could be an ablation of.
    settings = {one.row: one.run.settings for one in sources if one.run and not one.run.untrained}
    base = next(row for row in blocks[0].rows if row.label == reference)
    if base.identity not in settings:
        return None
    changes = {row.label: _changes(settings[base.identity], settings.get(row.identity)) for row in blocks[0].rows}
    rows = [row for row in blocks[0].rows if row is not base and 0 < len(changes[row.label]) <= MOST_CHANGES]
    if not rows:
        return None
    comparisons = tests.compare(rows, base, list(table.columns))
    changed = tuple(
        replace(row, label=", ".join(changes[row.label]), note=f"({row.label})", cells=_differences(row, base))
        for row in marked(rows, comparisons)
    )
    return Table(
        name=f"ablation-{table.name}",
        title=f"Ablation of {reference}: {table.title}",
        columns=table.columns,
        blocks=(
            Block(title="Reference", kind="measured", rows=(_without_places(base),)),
            Block(title="Changed, and the difference in points", kind="measured", rows=changed),
        ),
        key=(note(reference, comparisons),),
        notes=(
            "Differences are the mean over the seeds that both have, ± their deviation; of the two means where they "
            "share none.",
            f"Rows with more than {MOST_CHANGES} changed settings are left out.",
        ),
    )


def _known(table: Table) -> str:
    return ", ".join(row.label for row in table.measured)


def _changes(base: Mapping[str, object], other: Mapping[str, object] | None) -> list[str]:
    if other is None:
        return []
    keys = differing_settings([base, other])
    return [f"{key.split('.', 1)[-1]}: {plain(base.get(key))} → {plain(other.get(key))}" for key in keys]


def _differences(row: Row, base: Row) -> dict[str, Cell]:
    cells = {}
    for column, cell in row.cells.items():
        other = base.cells.get(column, Cell())
        if cell.value is None or other.value is None:
            cells[column] = Cell()
            continue
        shared = sorted(set(cell.by_seed) & set(other.by_seed), key=str)
        paired = [cell.by_seed[seed] - other.by_seed[seed] for seed in shared]
        difference = fmean(paired) if paired else cell.value - other.value
        cells[column] = Cell(
            value=difference,
            printed=f"{difference:+z.2f}",
            printed_deviation=f"{stdev(paired):.2f}" if len(paired) > 1 else None,
            deviation=stdev(paired) if len(paired) > 1 else None,
            count=len(paired),
            marks=cell.marks,
            sources=(*cell.sources, *other.sources),
        )
    return cells


def _without_places(row: Row) -> Row:
    return replace(row, cells={column: replace(cell, place=None, marks="") for column, cell in row.cells.items()})
