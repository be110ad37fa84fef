"""Checking a report: everything is made again from its sources, and what differs is named."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from dalr.errors import InputError
from dalr.files import sha256_of
from dalr.reports.build import Report, report_of
from dalr.reports.load.discover import Problem
from dalr.reports.load.frame import Loaded, load
from dalr.reports.load.runs import read_json
from dalr.reports.options import Options
from dalr.reports.page.page import without_library
from dalr.reports.tables.writers.data import cell_frame
from dalr.reports.write import RECORD, RECORD_SCHEMA, cells, texts


def check(out: Path, dirs: Sequence[Path] = (), *, quiet: bool = True) -> list[str]:
    """One line for everything in the report under `out` that its sources do not bear out; empty where
    all agrees. `dirs` say where the sources are now, in the order in which the report was made from
    them; without, they are looked for where they lay, seen from the report.

    Raises:
        InputError: there is no report, or its sources are gone.
    """
    record = _record(out)
    display_names = [place["name"] for place in record["places"]]
    loaded = load(_places(out, record["places"], dirs), display_names=display_names, quiet=quiet)
    options = record["options"]
    rows = {source.row for source in loaded.sources.values()}
    kept = {row: label for row, label in options["names"].items() if row in rows}
    try:
        report = report_of(loaded, Options(**{**options, "names": kept}))
    except InputError as error:
        return [*_changed_sources(record, loaded, loaded.problems), f"it cannot be made again: {error}"]
    differences = [*_changed_sources(record, report.loaded, report.problems)]
    differing = set()
    for line, table in _changed_cells(record, report):
        differences.append(line)
        differing.add(table)
    differences += _changed_files(
        report, out, {place["name"]: place["folder"] for place in record["places"]}, differing
    )
    if not differences and not _same_frame(out / "scores.parquet", report.loaded.scores.collect()):
        differences.append("scores.parquet: does not hold what its sources give")
    return differences


def _places(out: Path, places: Sequence[dict[str, Any]], dirs: Sequence[Path]) -> list[Path]:
    names = ", ".join(place["name"] for place in places)
    if dirs and len(dirs) != len(places):
        raise InputError(f"report --check: {out} was made from {names}: name as many folders, in that order, or none")
    if not dirs and any(place["path"] is None for place in places):
        raise InputError(
            f"report --check: the sources of {out} do not lie near it; name them ({names}): "
            f"dalr report DIR… --out {out} --check"
        )
    return list(dirs) or [out / place["path"] for place in places]


def _record(out: Path) -> dict[str, Any]:
    if not (out / RECORD).is_file():
        raise InputError(f"report --check: no report in {out}: it has no {RECORD}")
    record = read_json(out / RECORD)
    if record.get("schema") != RECORD_SCHEMA:
        raise InputError(f"{out / RECORD}: schema {record.get('schema')}; this version checks {RECORD_SCHEMA}")
    try:
        Options(**record["options"])
        [(place["name"], place["path"], place["folder"]) for place in record["places"]]
        return {key: record[key] for key in ("places", "options", "sources", "tables")}
    except (KeyError, TypeError) as error:
        raise InputError(f"{out / RECORD}: damaged: {error}; make the report again") from error


def _changed_sources(record: dict[str, Any], loaded: Loaded, problems: Sequence[Problem]) -> Iterator[str]:
    now = loaded.sources
    reasons = {problem.path: problem.message for problem in problems}
    for name, checksum in record["sources"].items():
        if name not in now:
            yield f"{name}: used by the report, {reasons.get(name, 'and gone')}"
        elif sha256_of(now[name].path) != checksum:
            yield f"{name}: changed since the report was made"
    for name in now:
        if name not in record["sources"]:
            yield f"{name}: not in the report, which was made before it"


def _changed_cells(record: dict[str, Any], report: Report) -> Iterator[tuple[str, str]]:
    now = {table.name: {_place(cell): cell for cell in cells(table)} for table in report.tables}
    for table in sorted(set(now) | set(record["tables"])):
        before = {_place(cell): cell for cell in record["tables"].get(table, [])}
        after = now.get(table, {})
        for place in dict.fromkeys([*before, *after]):
            line = _difference(before.get(place), after.get(place))
            if line is not None:
                yield f"table {table}: {place[1]}, {place[2]}: {line}", table


def _difference(old: dict[str, Any] | None, new: dict[str, Any] | None) -> str | None:
    if old is None or new is None:
        return "not in the report" if old is None else "no longer there"
    if _shown(old) == _shown(new):
        return None
    origin = f" (from {', '.join(new['sources'])})" if new["sources"] else ""
    return f"the report says {_words(old)}, its sources {_words(new)}{origin}"


def _place(cell: dict[str, Any]) -> tuple[str, str, str]:
    return cell["block"], cell["row"], cell["column"]


def _shown(cell: dict[str, Any]) -> tuple[Any, ...]:
    value = cell["value"]
    return None if value is None else round(value, 9), cell["text"], cell["deviation"], cell["marks"]


def _words(cell: dict[str, Any]) -> str:
    text = cell["text"] + (f" ± {cell['deviation']}" if cell["deviation"] else "") + cell["marks"]
    return text if cell["value"] is None else f"{text} ({cell['value']:.6f})"


def _changed_files(report: Report, out: Path, places: Mapping[str, str | None], differing: set[str]) -> Iterator[str]:
    """Files that do not hold what the record and the sources agree on: they were edited or are missing."""
    for name, text in texts(report, places, with_library=False).items():
        path = out / name
        if not path.is_file():
            yield f"{name}: missing"
        elif not _follows(name, differing) and without_library(path.read_bytes().decode(errors="replace")) != text:
            yield f"{name}: does not hold what its sources give"
    for table in report.tables:
        path = out / "tables" / f"{table.name}.parquet"
        if table.name in differing:
            continue
        if not path.is_file():
            yield f"tables/{path.name}: missing"
        elif not _same_frame(path, cell_frame(table)):
            yield f"tables/{path.name}: does not hold what its sources give"
    for figure in report.figures:
        for ending in report.options.formats:
            if not (out / "figures" / f"{figure.name}.{ending}").is_file():
                yield f"figures/{figure.name}.{ending}: missing"


def _follows(name: str, differing: set[str]) -> bool:
    """Whether a file differs because a table does that is already named."""
    overall = name in ("report.md", "index.html") and bool(differing)
    return overall or any(name.startswith(f"tables/{table}.") for table in differing)


def _same_frame(path: Path, expected: pl.DataFrame) -> bool:
    """Whether a file holds these rows; another machine's arithmetic may differ in a number's last digit."""
    try:
        assert_frame_equal(pl.read_parquet(path), expected, rel_tol=1e-9, abs_tol=1e-12)
    except (AssertionError, pl.exceptions.PolarsError, OSError):
        return False
    return True
