"""Damage done to the files of a project, and what a report must make of it: the rest, or one line."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dalr.errors import InputError
from dalr.reports.build import build
from dalr.reports.check import check
from dalr.reports.options import Options
from dalr.reports.write import texts, write
from tests.reports import make

RUN = "all/runs/dalr-1"
"""One of the project's runs."""


def write_project(root: Path) -> Path:
    """Two runs, a sweep with final runs, a good result beside them, and their report."""
    make.two_models(root / "all" / "runs", seeds=(1, 2))
    make.result(model="good").write(root / "all" / "good.json")
    folder = make.sweep(root / "all" / "s", count=6)
    rows = [{"candidate": c, "seed": s, "state": "complete", "sts_avg": 60.0 + s} for c in (0, None) for s in (1, 2)]
    pl.DataFrame(rows).write_parquet(folder / "finals.parquet")
    write(build([root / "all"], Options(with_figures=False)), root / "out")
    return root


def assert_reported(root: Path) -> None:
    """A report of it, or one line; the good result is in it."""
    try:
        report = build([root / "all"], Options(with_figures=False))
        texts(report, {})
    except InputError as error:
        pytest.fail(f"a damaged file ended the whole report: {error}")
    assert "all/good.json" in report.loaded.sources
    assert all("\n" not in problem.message for problem in report.problems)
    try:
        differences = check(root / "out")
    except InputError as error:
        differences = [str(error)]
    assert all("\n" not in line for line in differences)


def with_change(project: Path, path: str, change: Callable[[Path], None]) -> None:
    """Reports on the project with one file changed, and puts that back."""
    file = project / path
    kept = file.read_bytes()
    try:
        change(file)
        assert_reported(project)
    finally:
        file.write_bytes(kept)
