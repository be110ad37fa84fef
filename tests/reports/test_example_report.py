"""The reports that are kept in docs/: they follow from the files beside them, and say nothing of a machine."""

import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from dalr.reports.check import check
from dalr.results import read_result
from tests import ROOT

EXAMPLE = ROOT / "docs" / "example-report"
EXPERIMENTS = EXAMPLE / "experiments"
# An absolute path; what stands before it tells it from the inside of an address or of a shortened path.
ABSOLUTE = re.compile(rb"(?<![\w.:/\xa6-])/(?:root|home|Users|work|tmp|mnt|data|scratch)/[\w.]")

pytestmark = [
    pytest.mark.medium,
    pytest.mark.skipif(
        not (EXAMPLE / "report.json").is_file(), reason="no report there: bash docs/example-report.sh RUNS"
    ),
]


@pytest.mark.parametrize("report", [EXAMPLE, EXPERIMENTS], ids=lambda path: path.name)
def test_every_number_follows_from_the_files_beside_it(report: Path) -> None:
    assert check(report) == []


@pytest.mark.parametrize(
    ("sweep", "averages", "differences"), [("factorial", 12, 35), ("mends", 12, 10), ("confirmation", 8, 6)]
)
def test_the_page_of_the_experiment_has_its_reports_numbers(sweep: str, averages: int, differences: int) -> None:
    page = (ROOT / "docs" / "experiments" / "factorial.md").read_text(encoding="utf-8")
    arms = pl.read_parquet(EXPERIMENTS / "tables" / f"arms-runs-{sweep}.parquet")
    contrasts = pl.read_parquet(EXPERIMENTS / "tables" / f"contrasts-runs-{sweep}.parquet")
    scores = arms.filter(pl.col("column").is_in(["sts.Avg", "transfer.Avg"]), pl.col("value").is_not_null())
    if sweep != "factorial":  # the page has what was planned, not what is only described
        contrasts = contrasts.filter(~pl.col("block").str.contains("described"))
    intervals = contrasts.filter(pl.col("column") == "interval")
    assert (len(scores), len(intervals)) == (averages, differences)
    for score in scores.iter_rows(named=True):
        assert f"{score['value']:.2f}" in page
        assert f"± {score['deviation']:.2f}" in page
    for difference, interval in zip(
        contrasts.filter(pl.col("column") == "difference")["text"], intervals["text"], strict=True
    ):
        assert f"{difference} ({interval})".replace("-", "−") in page


def test_a_score_changed_by_hand_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("*.npz", "experiments"))
    path = next((copy / "runs").glob("dalr-*/results/test.json"))
    made = read_result(path)
    changed = made.tasks["STS13"].model_copy(update={"score": 99.0})
    made.model_copy(update={"tasks": {**made.tasks, "STS13": changed}}).write(path)
    found = check(copy)
    name = path.relative_to(copy).as_posix()
    assert f"{name}: changed since the report was made" in found
    assert any("STS13: the report says" in line and name in line for line in found)


def test_nothing_in_it_names_a_machine() -> None:
    for path in sorted(EXAMPLE.rglob("*")):
        if path.is_file() and path.suffix not in (".npz", ".parquet"):
            found = ABSOLUTE.search(path.read_bytes())
            assert found is None, f"{path}: {found and found[0]!r}"
    for path in EXAMPLE.rglob("*.parquet"):
        frame = pl.read_parquet(path)
        for name in (name for name, kind in frame.schema.items() if kind == pl.String):
            assert not any(ABSOLUTE.search(text.encode()) for text in frame[name].drop_nulls()), f"{path}: {name}"


def test_every_result_and_config_that_the_page_links_to_is_there() -> None:
    page = (EXAMPLE / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="((?!#)[^"]+\.(?:json|yaml))"', page)
    assert len(links) > 10
    assert [link for link in links if not (EXAMPLE / link).is_file()] == []


def test_it_holds_no_weights_and_stays_small() -> None:
    files = [path for path in EXAMPLE.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= set(".md .html .json .jsonl .yaml .npz .parquet .svg .tex .csv".split())
    assert sum(path.stat().st_size for path in files) < 28_000_000
