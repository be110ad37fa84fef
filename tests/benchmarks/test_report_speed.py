"""A report over 10,000 trials, and over 10,000 result files: how long each part takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dalr.reports.build import build
from dalr.reports.examples import Examples
from dalr.reports.figures.collect import FigureSelection, figures
from dalr.reports.load.frame import load
from dalr.reports.load.names import addresses
from dalr.reports.load.sweeps import read_sweep
from dalr.reports.options import Options
from dalr.reports.tables.labels import labels
from dalr.reports.tables.scores import task_table
from dalr.reports.write import texts
from dalr.results import STS
from tests.reports import make

pytestmark = pytest.mark.benchmark
TRIALS = 10_000
MOST_SECONDS = 5.0


@contextmanager
def timed(name: str, times: dict[str, float]) -> Iterator[None]:
    began, computed = time.perf_counter(), time.process_time()
    yield
    times[name] = time.perf_counter() - began
    print(f"{name}: {times[name]:.2f} s, of which computing {time.process_time() - computed:.2f} s")


def test_ten_thousand_trials(tmp_path: Path) -> None:
    make.sweep(tmp_path / "sweep", count=TRIALS)
    times: dict[str, float] = {}
    with timed("load and tables", times):
        report = build([tmp_path / "sweep"], Options(with_figures=False))
    with timed("page data and every text file", times):
        written = texts(report, addresses(report.loaded.names, tmp_path / "out"))
    assert len(written["index.html"]) < 2_000_000
    assert sum(times.values()) < MOST_SECONDS
    with timed("figures, binned", times):
        sweep = read_sweep(tmp_path / "sweep", "sweep")
        drawn = figures(
            report.loaded, report.labels, [sweep], FigureSelection(best_first=[]), Examples(report.loaded), []
        )
    assert all(len(str(figure.spec)) < 1_500_000 for figure in drawn)


def test_ten_thousand_result_files(tmp_path: Path) -> None:
    for index in range(TRIALS):
        scores = dict.fromkeys(STS, 50 + index % 40 + index / 1e6)
        made = make.result(model=f"model-{index // 4}", scores=scores, seed=index % 4)
        path = tmp_path / "all" / f"{index // 100:03d}" / f"{index:05d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made.model_dump_json())
    times: dict[str, float] = {}
    with timed("load", times):
        loaded = load([tmp_path / "all"])
    assert len(loaded.sources) == TRIALS
    with timed("tables", times):
        table = task_table("sts", loaded, labels(loaded.sources.values()))
    assert len(table.measured) == TRIALS // 4
