"""Published rows as rows of a table, and what is said of their sources below it."""

from collections.abc import Collection, Mapping, Sequence

from dalr.reports.load.published import PublishedRow, published
from dalr.reports.tables.grid import Cell, Row

PUBLISHED = "Published, as printed by their sources"


def published_rows(table: str, columns: Collection[str]) -> tuple[Row, ...]:
    """The published rows of a table that have a score in one of the columns."""
    return tuple(published_row(row) for row in published().of(table) if set(row.scores) & set(columns))


def published_row(row: PublishedRow, label: str | None = None, columns: Mapping[str, str] | None = None) -> Row:
    """One published row; `columns` maps its scores' names to a table's columns, where those are called otherwise."""
    cells = {
        (columns or {}).get(task, task): Cell(
            value=float(text), printed=text, printed_deviation=row.deviations.get(task)
        )
        for task, text in row.scores.items()
    }
    return Row(label=label or row.label, identity=row.source, cells=cells, note=source_mark(row.source))


def source_mark(key: str) -> str:
    """`[dalr] secondary`: the mark of a source behind a row's name."""
    return f"[{key}]" + (" secondary" if published().sources[key].secondary else "")


def published_notes(table: str) -> list[str]:
    """The sources of a table's published rows, what must be known of single ones, and what is printed somewhere
    but stands in no source at hand."""
    rows = published().of(table)
    absent = published().absent.get(table, ())
    return [
        *source_notes([row.source for row in rows]),
        *(f"{row.label}: {row.note}." for row in rows if row.note),
        *([f"Printed, but in no source at hand, so not shown: {'; '.join(absent)}."] if absent else []),
    ]


def source_notes(keys: Sequence[str]) -> list[str]:
    """A note for each source, with its address; the secondary ones are marked."""
    notes = []
    for key in dict.fromkeys(keys):
        source = published().sources[key]
        marked = "SECONDARY SOURCE, not the authors' own words: " if source.secondary else ""
        notes.append(f"[{key}] {marked}{source.title}. {source.url}")
    return notes
