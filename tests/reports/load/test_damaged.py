"""Damaged files: whatever stands in them, a report is made of the rest, or one line says what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from dalr.errors import InputError
from dalr.reports.build import build
from dalr.reports.check import check
from dalr.reports.options import Options
from dalr.reports.write import texts, write
from tests.reports import make


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, a sweep with final runs, a good result beside them, and their report."""
    root = tmp_path_factory.mktemp("project")
    make.two_models(root / "all" / "runs", seeds=(1, 2))
    make.result(model="good").write(root / "all" / "good.json")
    folder = make.sweep(root / "all" / "s", count=6)
    rows = [{"candidate": c, "seed": s, "state": "complete", "sts_avg": 60.0 + s} for c in (0, None) for s in (1, 2)]
    pl.DataFrame(rows).write_parquet(folder / "finals.parquet")
    write(build([root / "all"], Options(with_figures=False)), root / "out")
    return root


def _reported(root: Path) -> None:
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


def _with(project: Path, path: str, change: Callable[[Path], None]) -> None:
    """Reports on the project with one file changed, and puts that back."""
    file = project / path
    kept = file.read_bytes()
    try:
        change(file)
        _reported(project)
    finally:
        file.write_bytes(kept)


RUN = "all/runs/dalr-1"
JSON = [f"{RUN}/results/sts.json", f"{RUN}/provenance.json", "out/report.json"]


@pytest.mark.parametrize("path", JSON)
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 5_000])
def test_a_file_of_something_else(project: Path, path: str, content: bytes) -> None:
    _with(project, path, lambda file: file.write_bytes(content) and None)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("config.yaml", "train", "fast"),
        ("config.yaml", "data", None),
        ("config.yaml", "objective", {"weights": 3}),
        ("provenance.json", "attempts", 5),
        ("provenance.json", "attempts", ["a"]),
        ("provenance.json", "data", ["x"]),
        ("provenance.json", "overrides", "none"),
        ("provenance.json", "former_fingerprints", 7),
    ],
)
def test_a_part_of_another_kind(project: Path, name: str, key: str, value: Any) -> None:
    def change(file: Path) -> None:
        values = yaml.safe_load(file.read_text())
        file.write_text(json.dumps(values | {key: value}))

    _with(project, f"{RUN}/{name}", change)


@pytest.mark.parametrize("key", ["metric", "direction"])
@pytest.mark.parametrize("value", [None, [], 3, [None], {"a": 1}, [["x"]]])
def test_a_sweep_without_a_metric_or_a_direction_is_left_out(project: Path, key: str, value: Any) -> None:
    def change(file: Path) -> None:
        file.write_text(json.dumps(yaml.safe_load(file.read_text()) | {key: value}))

    _with(project, "all/s/sweep.yaml", change)
