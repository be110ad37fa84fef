"""Tables as GitHub's Markdown."""

import re

from dalr.reports.load.names import one_line
from dalr.reports.tables.grid import Cell, Row, Table

_SPECIAL = re.compile(r"([*_`<>\[\]\\~&#])")
_ADDRESS = re.compile(r"https?://[^\s<>|`]+$")


def markdown(table: Table) -> str:
    """The table under a heading, one block after the other, its notes below."""
    headings = [table.row_heading, *(["Seeds"] if table.with_seeds else []), *table.columns.values()]
    lines = [f"### {escaped(table.title)}", "", _line([escaped(heading) for heading in headings])]
    lines.append(_line(["---", *["---:"] * (len(headings) - 1)]))
    for block in table.blocks:
        if block.title:
            lines.append(_line([f"*{escaped(block.title)}*", *[""] * (len(headings) - 1)]))
        lines += [_line(_row(row, table)) for row in block.rows]
    notes = [f"- {escaped(note)}" for note in table.below]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def escaped(text: str) -> str:
    """The text on one line, shown as it is, in a table's cell too; addresses stay links."""
    words = one_line(text).split(" ")
    return " ".join(word if _ADDRESS.match(word) else _SPECIAL.sub(r"\\\1", word) for word in words).replace("|", "\\|")


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _row(row: Row, table: Table) -> list[str]:
    label = escaped(row.label) + (f" {escaped(row.note)}" if row.note else "")
    seeds = [str(len(row.seeds)) if row.seeds else ""] if table.with_seeds else []
    return [label, *seeds, *(_cell(row.cells.get(column, Cell())) for column in table.columns)]


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    text = {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(cell.place or 0, text)
    deviation = f" ± {cell.deviation_text}" if cell.deviation_text is not None else ""
    return f"{text}{deviation}{cell.marks}"
