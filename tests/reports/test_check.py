"""`dalr report` from the command line, and `--check`: every altered number is found and named."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from dalr.__main__ import main
from dalr.errors import InputError, command_line
from dalr.reports.build import build
from dalr.reports.check import check
from dalr.reports.commands import report
from dalr.reports.figures.figure import Figure
from dalr.reports.options import Options
from dalr.reports.page.page import LIBRARY_TAG
from dalr.reports.write import write
from tests.reports import make


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in out/ over runs/ and sweep/, without figures."""
    folder = tmp_path_factory.mktemp("made")
    make.two_models(folder / "runs")
    make.sweep(folder / "sweep", count=10)
    options = Options(baseline="simcse", names={"dalr": "Ours"}, with_figures=False)
    write(build([folder / "runs", folder / "sweep"], options), folder / "out")
    return folder


@pytest.fixture
def made(made_once: Path, tmp_path: Path) -> Path:
    """A copy of that folder, which a test may change."""
    return Path(shutil.copytree(made_once, tmp_path, dirs_exist_ok=True))


def _change_score(path: Path, task: str, score: float) -> None:
    values = json.loads(path.read_text())
    values["tasks"][task]["score"] = score
    path.write_text(json.dumps(values))


def test_an_untouched_report_agrees(made: Path) -> None:
    assert check(made / "out") == []


def test_a_score_changed_by_hand_is_named(made: Path) -> None:
    _change_score(made / "runs" / "dalr-2" / "results" / "sts.json", "STS13", 99.0)
    found = check(made / "out")
    assert "runs/dalr-2/results/sts.json: changed since the report was made" in found
    cell = next(line for line in found if line.startswith("table sts: Ours, STS13"))
    assert "the report says 73.20 ± 0.10 (73.200000), its sources 81.80 ± 14.90" in cell
    assert "runs/dalr-2/results/sts.json" in cell
    assert any(line.startswith("table sts: Ours, Avg") for line in found)
    assert not any("STS12" in line for line in found)


def test_a_number_changed_in_a_table_is_named(made: Path) -> None:
    for name in ("sts.md", "sts.tex", "sts.csv", "sts.html"):
        path = made / "out" / "tables" / name
        path.write_text(path.read_text().replace("72.20", "82.20"))
        assert check(made / "out") == [f"tables/{name}: does not hold what its sources give"]
        path.write_text(path.read_text().replace("82.20", "72.20"))
    page = made / "out" / "index.html"
    page.write_text(page.read_text().replace("75.20", "85.20"))
    assert check(made / "out") == ["index.html: does not hold what its sources give"]


def test_numbers_changed_in_parquet_files_are_named(made: Path) -> None:
    for name in ("tables/sts.parquet", "scores.parquet"):
        path = made / "out" / name
        before = path.read_bytes()
        frame = pl.read_parquet(path)
        frame.with_columns(pl.col("value") + 1).write_parquet(path)
        assert check(made / "out") == [f"{name}: does not hold what its sources give"]
        path.write_bytes(before)


@pytest.mark.medium
def test_another_version_of_the_drawing_library_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(figure: Figure, folder: Path, formats: Sequence[str]) -> None:
        folder.mkdir(exist_ok=True)
        for ending in formats:
            (folder / f"{figure.name}.{ending}").write_text("drawn")

    monkeypatch.setattr("dalr.reports.write.export", drawn)
    make.sweep(tmp_path / "sweep", count=12)
    write(build([tmp_path / "sweep"], Options()), tmp_path / "out")
    page = tmp_path / "out" / "index.html"
    text = page.read_text()
    library = text.partition(LIBRARY_TAG)[2].partition("</script>")[0]
    assert len(library) > 500_000
    page.write_text(text.replace(library, "another()"))
    assert check(tmp_path / "out") == []
    specification = next((tmp_path / "out" / "figures").glob("expected-*.json"))
    specification.write_text(specification.read_text().replace("expected", "hoped"))
    assert check(tmp_path / "out") == [f"figures/{specification.name}: does not hold what its sources give"]


def test_numbers_that_differ_in_their_last_digit_are_the_same(made: Path) -> None:
    path = made / "out" / "scores.parquet"
    pl.read_parquet(path).with_columns(pl.col("value") * (1 + 1e-15)).write_parquet(path)
    assert check(made / "out") == []


def test_a_report_made_again_leaves_nothing_of_the_earlier_one(made: Path) -> None:
    assert (made / "out" / "tables" / "ablation-sts.tex").is_file()
    write(build([made / "runs"], Options(with_figures=False)), made / "out")
    assert {path.name.split(".")[0] for path in (made / "out" / "tables").iterdir()} == {"sts"}
    assert check(made / "out") == []


def test_gone_new_and_damaged_sources_are_named(made: Path) -> None:
    (made / "runs" / "dalr-1" / "results" / "sts.json").unlink()
    (made / "runs" / "simcse-1" / "results" / "sts.json").write_text("{")
    make.result(model="new").write(made / "runs" / "new.json")
    found = check(made / "out")
    assert "runs/dalr-1/results/sts.json: used by the report, and gone" in found
    assert any("simcse-1/results/sts.json: used by the report, not a readable JSON file" in line for line in found)
    assert "runs/new.json: not in the report, which was made before it" in found
    assert any(line.startswith("table sts: new, STS12: not in the report") for line in found)


def test_a_report_moved_with_its_sources_still_agrees(made: Path) -> None:
    moved = made.parent / f"{made.name}-moved"
    made.rename(moved)
    assert check(moved / "out") == []


def test_the_command_writes_and_checks(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    app = typer.Typer()
    app.command()(report)
    runner = CliRunner()
    done = runner.invoke(app, ["runs", "--out", "other", "--no-figures"])
    assert done.exit_code == 0, done.output
    assert "dalr has the highest average: 75.20 ± 0.10 over 3 seeds, 2.00 points above simcse." in done.output
    assert runner.invoke(app, ["--out", "other", "--check"]).exit_code == 0
    _change_score(made / "runs" / "simcse-3" / "results" / "sts.json", "STS16", 1.0)
    done = runner.invoke(app, ["--out", "other", "--check"])
    assert done.exit_code == 1
    assert "simcse, STS16: the report says" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"dirs": [Path("absent")]}, "report: no such file or folder: "),
        ({"dirs": [Path("empty")]}, "report: nothing to report in "),
        ({"dirs": [Path("file")]}, "report: no scores to report; found 0 runs without results, 1 unusable file"),
        ({"dirs": None}, "report: no folder given; for example"),
        ({"check": True, "out": Path("empty")}, "report --check: no report in empty: it has no report.json"),
        ({"dirs": [Path("runs")], "name": ["x"]}, "--name x: expected KEY=LABEL"),
        ({"dirs": [Path("runs")], "average": "median"}, "--average median: expected unrounded or mean-of-rounded"),
        ({"dirs": [Path("runs")], "ablate": ["x"]}, "--ablate x: no measured row has that name (rows: dalr, simcse)"),
        ({"dirs": [Path("runs")], "formats": "jpg"}, "--formats jpg: expected some of svg,pdf,png"),
        ({"dirs": [Path("runs")], "out": Path("runs")}, "report: --out runs is a folder to report on; a report lies"),
        ({"dirs": [Path("runs")], "out": Path("file"), "no_figures": True}, "report: cannot write to file"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make.two_models(tmp_path / "runs", seeds=(1,))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with command_line(), pytest.raises(InputError) as raised:
        report(**arguments)
    assert str(raised.value).startswith(expected)
    assert "\n" not in str(raised.value)


def test_bad_input_exits_with_2_and_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dalr", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("dalr: report: nothing to report in ")
    assert said.count("\n") == 1
