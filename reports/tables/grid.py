"""Tables as data: rows of cells with unrounded values, and where each came from. Writers print them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Literal

DECIMALS = 2


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


def fewer_seeds(rows: Iterable[Row], headings: Mapping[str, str] | None = None) -> list[str]:
    """A note for each row of which some scores have fewer seeds than the row says. `headings`: the columns that are
    scores, and their words; None: all, by their own names."""
    notes = []
    for row in rows:
        columns = {name: name for name in row.cells} if headings is None else headings
        cells = {text: row.cells.get(name, Cell()) for name, text in columns.items()}
        short = [f"{text} ({cell.count})" for text, cell in cells.items() if 0 < cell.count < len(row.seeds)]
        if short:
            notes.append(f"{row.label}: fewer than its {len(row.seeds)} seeds in {', '.join(short)}.")
    return notes
