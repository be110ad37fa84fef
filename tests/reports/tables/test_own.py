"""Tasks that are not the benchmark's: columns of a table of their own, and of model cards."""

from pathlib import Path

import pytest

from dalr.reports.build import build
from dalr.reports.check import check
from dalr.reports.hub.card import model_card
from dalr.reports.options import Options
from dalr.reports.tables.mteb import RERANKING, RERANKING_TASKS
from dalr.reports.write import write
from tests.reports.make import result, run

OWN = {"Reviews": 81.25, "Headlines": 70.5}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two seeds of one recipe with own tasks beside STS, and another recipe with own tasks alone."""
    for seed, more in ((1, 0.0), (2, 1.0)):
        scores = {task: value + more for task, value in OWN.items()}
        results = {"sts.json": result(seed=seed), "own.json": result(scores=scores, seed=seed, official_data=False)}
        run(tmp_path / "runs" / f"dalr-{seed}", seed=seed, results=results)
    alone = {"own.json": result(scores={"Reviews": 75.0}, seed=1, official_data=False)}
    run(tmp_path / "runs" / "simcse-1", recipe="simcse", seed=1, results=alone, objective__intra_modal=0.0)
    return tmp_path / "runs"


def test_each_is_a_column_without_an_average(runs: Path) -> None:
    table = {table.name: table for table in build([runs], Options()).tables}["own"]
    assert list(table.columns) == ["Headlines", "Reviews"]
    (block,) = table.blocks
    assert "NOT on the official data" not in block.title
    cells = {row.label: {task: cell.text for task, cell in row.cells.items()} for row in block.rows}
    assert sorted(cells.values(), key=str) == [
        {"Headlines": "71.00", "Reviews": "81.75"},
        {"Headlines": "–", "Reviews": "75.00"},
    ]
    deviations = [row.cells["Reviews"].deviation_text for row in block.rows if row.cells["Reviews"].count == 2]
    assert deviations == ["0.71"]


def test_a_result_with_them_alone_makes_a_report_that_checks(tmp_path: Path) -> None:
    result(scores=OWN, official_data=False).write(tmp_path / "results" / "own.json")
    out = tmp_path / "report"
    write(build([tmp_path / "results"], Options(with_figures=False)), out)
    assert "Headlines" in (out / "tables" / "own.csv").read_text().splitlines()[0]
    assert "Tasks of your own" in (out / "index.html").read_text()
    assert check(out) == []


def test_other_tables_are_as_without_them(runs: Path, tmp_path: Path) -> None:
    tables = {table.name: table for table in build([runs], Options()).tables}
    assert "Reviews" not in tables["sts"].columns
    assert [row.cells["STS12"].text for row in tables["sts"].measured] == ["70.00"]


def test_mtebs_tasks_have_a_table_and_a_part_of_the_card(runs: Path) -> None:
    folder = runs / "dalr-1"
    made = result(scores={"MTEB.STSBenchmark": 64.5, "MTEB.Banking77": 71.0}, seed=1, official_data=False)
    made.write(folder / "results" / "mteb.json")
    tables = {table.name: table for table in build([runs], Options()).tables}
    assert list(tables["mteb"].columns.values()) == ["Banking77", "STSBenchmark"]
    assert [row.cells["MTEB.STSBenchmark"].text for row in tables["mteb"].measured] == ["64.50"]
    assert "MTEB.STSBenchmark" not in tables["own"].columns
    card = model_card(folder, "me/model")
    assert "| STSBenchmark | Banking77 |\n| ---: | ---: |\n| 64.50 | 71.00 |" in card
    assert "Not the official data" not in card


def test_the_card_has_them_and_names_no_place(runs: Path) -> None:
    folder = runs / "dalr-1"
    made = result(scores=OWN, seed=1, official_data=False, data={"/home/somebody/reviews.csv": "ab" * 32})
    made.write(folder / "results" / "own.json")
    card = model_card(folder, "me/model")
    assert "| Reviews | Headlines |" in card
    assert "| 81.25 | 70.50 |" in card
    assert "Not the official data" not in card
    assert "reviews.csv" in card
    assert "/home/somebody/reviews.csv" not in card


def test_the_reranking_average_stands_beside_the_published_one(runs: Path) -> None:
    tasks = {f"MTEB.{task}": 40.0 + 2 * place for place, task in enumerate(RERANKING_TASKS)}
    made = result(scores={**tasks, "MTEB.Banking77": 71.0}, seed=1, official_data=False)
    made.write(runs / "dalr-1" / "results" / "mteb.json")
    some = result(scores={"MTEB.SciDocsRR": 50.0}, seed=1, official_data=False)
    some.write(runs / "simcse-1" / "results" / "mteb.json")
    table = {table.name: table for table in build([runs], Options(with_figures=False)).tables}["mteb"]
    measured, printed = table.blocks
    averages = {row.label: row.cells[RERANKING].text for row in measured.rows}
    assert averages == {"dalr": "43.00", "simcse": "–"}, "an average needs all four tasks"
    assert {row.label: row.cells[RERANKING].text for row in printed.rows} == {
        "DALR, backbone not stated, corpus not stated": "48.35",
        "MCSE, backbone not stated, corpus not stated": "46.92",
    }
    assert all(row.note.endswith("secondary") for row in printed.rows)
