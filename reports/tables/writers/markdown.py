"""Tables as GitHub's Markdown."""

import re

from dalr.reports.tables.scores import Cell, Row, Table


def markdown(table: Table) -> str:
    """The table under a heading, one block after the other, its notes below."""
    headings = [table.row_heading, *(["Seeds"] if table.with_seeds else []), *table.columns.values()]
    lines = [f"### {table.title}", "", _line(headings), _line(["---", *["---:"] * (len(headings) - 1)])]
    for block in table.blocks:
        if block.title:
            lines.append(_line([f"*{_escaped(block.title)}*", *[""] * (len(headings) - 1)]))
        lines += [_line(_row(row, table)) for row in block.rows]
    notes = [f"- {_escaped(note)}" for note in table.below]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _row(row: Row, table: Table) -> list[str]:
    label = _escaped(row.label) + (f" {_escaped(row.note)}" if row.note else "")
    seeds = [str(len(row.seeds)) if row.seeds else ""] if table.with_seeds else []
    return [label, *seeds, *(_cell(row.cells.get(column, Cell())) for column in table.columns)]


def _cell(cell: Cell) -> str:
    text = {1: f"**{cell.text}**", 2: f"<u>{cell.text}</u>"}.get(cell.place or 0, cell.text)
    deviation = f" ± {cell.deviation_text}" if cell.deviation_text is not None else ""
    return f"{text}{deviation}{cell.marks}"


def _escaped(text: str) -> str:
    return re.sub(r"([|*_`<>\[\]\\])", r"\\\1", text) if "http" not in text else text.replace("|", "\\|")
