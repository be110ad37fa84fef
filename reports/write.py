"""Writing a report down, and the record by which it can be checked."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dalr.extras import version
from dalr.files import atomic_write, sha256_of, writable_folder, write_text
from dalr.progress import track
from dalr.reports.build import Report
from dalr.reports.figures.export import FORMATS, export
from dalr.reports.load.names import addresses, counted, relative_place
from dalr.reports.page.page import PageData, page
from dalr.reports.page.provenance import provenance
from dalr.reports.tables.grid import Cell, Table
from dalr.reports.tables.labels import labels
from dalr.reports.tables.writers.data import cell_frame, comma_separated
from dalr.reports.tables.writers.html import table_document
from dalr.reports.tables.writers.latex import latex
from dalr.reports.tables.writers.markdown import escaped, markdown

RECORD = "report.json"
RECORD_SCHEMA = 2
TABLE_FORMATS = ("md", "tex", "csv", "html", "parquet")
MOST_NAMED = 12  # runs without a result that are named one by one


def write(report: Report, out: Path, *, quiet: bool = True) -> None:
    """Writes the whole report under `out`, each file aside and renamed; the record comes last."""
    writable_folder(out, "report")
    before = _earlier(out)
    places = addresses(report.loaded.names, out)
    for name, text in texts(report, places).items():
        write_text(out / name, text)
    for table in report.tables:
        with atomic_write(out / "tables" / f"{table.name}.parquet") as aside:
            cell_frame(table).write_parquet(aside)
    with atomic_write(out / "scores.parquet") as aside:
        report.loaded.scores.collect().write_parquet(aside)
    for figure in track(report.figures, "Drawing figures", quiet=quiet):
        export(figure, out / "figures", report.options.formats)
    made = record(report, out)
    _remove_left(out, before, made)
    write_text(out / RECORD, json.dumps(made, indent=1, ensure_ascii=False) + "\n")


def _earlier(out: Path) -> dict[str, Any]:
    """The record of the report that lay here before; nothing where it cannot be read."""
    try:
        before = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return before if isinstance(before, dict) else {}


def _remove_left(out: Path, before: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Removes the tables and figures of the earlier report that this one does not have: beside the others
    they would pass for its own."""
    for folder, endings in (("tables", TABLE_FORMATS), ("figures", ("json", *FORMATS))):
        for name in set(before.get(folder, ())) - set(made[folder]):
            for ending in endings:
                (out / folder / f"{Path(name).name}.{ending}").unlink(missing_ok=True)
    for name in made["figures"]:
        for ending in set(FORMATS) - set(made["options"]["formats"]):
            (out / "figures" / f"{name}.{ending}").unlink(missing_ok=True)


def texts(report: Report, places: Mapping[str, str | None], *, with_library: bool = True) -> dict[str, str]:
    """Every text file of the report, by its name in the report's folder: the same for the same sources.
    `places` are the addresses of the sources, seen from there. The page is without its drawing library
    where that is not wanted."""
    files = {}
    for table in report.tables:
        files[f"tables/{table.name}.md"] = markdown(table)
        files[f"tables/{table.name}.tex"] = latex(table)
        files[f"tables/{table.name}.csv"] = comma_separated(table)
        files[f"tables/{table.name}.html"] = table_document(table)
    for figure in report.figures:
        files[f"figures/{figure.name}.json"] = json.dumps(figure.spec, ensure_ascii=False, allow_nan=False) + "\n"
    files["report.md"] = _summary(report)
    files["index.html"] = page(_page_data(report, places), with_library=with_library)
    return files


def _summary(report: Report) -> str:
    lines = ["# Report", "", _about(report), ""]
    lines += [f"- {answer.where}: {answer.headline} **{answer.badge}** {answer.reason}" for answer in report.answers]
    lines += [f"- Not used as it is: {escaped(f'{problem.path}: {problem.message}')}" for problem in report.problems]
    lines += [f"- {escaped(line)}" for line in _unscored(report)]
    parts = ["\n".join(lines) + "\n", *(markdown(table) for table in report.tables), *_drawn(report)]
    return "\n".join(parts)


def _drawn(report: Report) -> Iterator[str]:
    """The figures in Markdown, in the first format that such a page can show."""
    format = next((one for one in ("svg", "png") if one in report.options.formats), None)
    for figure in report.figures if format else ():
        title, address = escaped(figure.title), quote(f"figures/{figure.name}.{format}")
        yield f"### {title}\n\n{escaped(figure.caption)}\n\n![{title}]({address})\n"


def _unscored(report: Report) -> list[str]:
    """A line on the runs that have no result, so that none is missing without a word."""
    names = report.loaded.unscored
    if not names:
        return []
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    have = "has" if len(names) == 1 else "have"
    return [f"{counted(len(names), 'run')} {have} no result yet: {', '.join(names[:MOST_NAMED])}{more}."]


def _about(report: Report) -> str:
    loaded = report.loaded
    counts = {
        "result": len(loaded.sources),
        "model": len(report.labels),
        "run": len(loaded.runs),
        "sweep": len(report.sweeps),
    }
    said = [counted(count, word) for word, count in counts.items() if count]
    newest = max((source.result.provenance.created or "" for source in loaded.sources.values()), default="")
    return "Made from " + ", ".join(said) + (f"; the newest result is of {newest}." if newest else ".")


def _page_data(report: Report, places: Mapping[str, str | None]) -> PageData:
    rows = [row.identity for table in report.tables for row in table.measured if row.identity in report.labels]
    return PageData(
        title="Sentence embeddings: report",
        about=_about(report),
        answers=report.answers,
        tables=report.tables,
        figures=report.figures,
        provenance=provenance(report.loaded, report.labels, rows, places),
        problems=report.problems,
        remarks=_unscored(report),
        formats=report.options.formats,
    )


def record(report: Report, out: Path) -> dict[str, Any]:
    """What is needed to make the report again and to name what differs then. Places are relative to the
    report's folder (null where they do not lie near it); options name rows by their identity."""
    names = report.loaded.names
    folders = addresses(names, out)
    own = labels(report.loaded.sources.values()) if report.options.names else report.labels
    named = {row: label for row, label in report.labels.items() if label != own[row]}
    return {
        "schema": RECORD_SCHEMA,
        "dalr": version(),
        "places": [
            {"name": name, "path": relative_place(place, out), "folder": folders[name]}
            for name, place in zip(names.of_places(), names.places, strict=True)
        ],
        "options": report.options.dump() | {"names": named},
        "sources": {name: sha256_of(source.path) for name, source in report.loaded.sources.items()},
        "tables": {table.name: list(cells(table)) for table in report.tables},
        "figures": [figure.name for figure in report.figures],
    }


def cells(table: Table) -> Iterator[dict[str, Any]]:
    """Every cell of a table in plain values: where it stands, what it shows, and its sources."""
    for block in table.blocks:
        for row in block.rows:
            for column in table.columns:
                yield _plain(block.title, row.label, column, row.cells)


def _plain(block: str, row: str, column: str, all_cells: Mapping[str, Cell]) -> dict[str, Any]:
    cell = all_cells.get(column, Cell())
    return {
        "block": block,
        "row": row,
        "column": column,
        "value": cell.value,
        "text": cell.text,
        "deviation": cell.deviation_text,
        "marks": cell.marks,
        "sources": list(cell.sources),
    }
