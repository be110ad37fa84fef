"""Tables: means, deviations, places, published rows, and what is missing stays visible."""

from pathlib import Path

import pytest

from dalr.reports.build import build
from dalr.reports.load.published import published
from dalr.reports.options import Options
from dalr.reports.tables.grid import Cell, Row, Table, with_places
from dalr.reports.tables.scores import AVERAGE
from dalr.reports.tables.writers.markdown import markdown
from dalr.results import STS, TRANSFER
from tests.reports import make

PLAIN = Options(with_figures=False)


def _table(place: Path, name: str = "sts", options: Options = PLAIN) -> Table:
    return next(table for table in build([place], options).tables if table.name == name)


def test_columns_are_in_the_order_of_the_field(tmp_path: Path) -> None:
    make.result(tasks=STS + TRANSFER).write(tmp_path / "a.json")
    assert list(_table(tmp_path).columns.values()) == "STS12 STS13 STS14 STS15 STS16 STS-B SICK-R Avg.".split()
    assert list(_table(tmp_path, "transfer").columns.values()) == "MR CR SUBJ MPQA SST TREC MRPC Avg.".split()


def test_mean_and_sample_deviation_over_seeds(tmp_path: Path) -> None:
    table = _table(make.two_models(tmp_path / "runs"))
    rows = {row.label: row for row in table.measured}
    cell = rows["dalr"].cells["STS12"]
    assert (cell.text, cell.deviation_text, cell.count) == ("72.20", "0.10", 3)
    assert rows["dalr"].seeds == (1, 2, 3)
    assert rows["dalr"].cells[AVERAGE].text == "75.20"
    assert cell.sources == tuple(f"runs/dalr-{seed}/results/sts.json" for seed in (1, 2, 3))


def test_best_and_second_share_a_place_when_their_digits_are_equal() -> None:
    values = {"a": 70.001, "b": 70.004, "c": 69.0, "d": 68.0}
    rows = [Row(label=name, identity=name, cells={"x": Cell(value=value)}) for name, value in values.items()]
    places = [row.cells["x"].place for row in with_places(rows, ["x"])]
    assert places == [1, 1, 2, None]


def test_a_lone_row_is_not_the_best_of_anything(tmp_path: Path) -> None:
    make.result().write(tmp_path / "a.json")
    assert {cell.place for row in _table(tmp_path).measured for cell in row.cells.values()} == {None}


def test_a_missing_task_is_a_dash_and_takes_the_average_with_it(tmp_path: Path) -> None:
    make.result(tasks=STS[:6]).write(tmp_path / "a.json")
    (row,) = _table(tmp_path).measured
    assert row.cells["SICKRelatedness"].text == "–"
    assert row.cells[AVERAGE].text == "–"


def test_a_score_of_zero_is_not_missing(tmp_path: Path) -> None:
    make.result(scores=dict.fromkeys(STS, 0.0)).write(tmp_path / "a.json")
    (row,) = _table(tmp_path).measured
    assert row.cells[AVERAGE].text == "0.00"


def test_the_average_is_of_unrounded_scores_unless_asked_otherwise(tmp_path: Path) -> None:
    make.result(scores=dict.fromkeys(STS, 70.0049)).write(tmp_path / "a.json")
    (row,) = _table(tmp_path).measured
    assert row.cells[AVERAGE].value == pytest.approx(70.0049)
    (row,) = _table(tmp_path, options=Options(average="mean-of-rounded", with_figures=False)).measured
    assert row.cells[AVERAGE].value == pytest.approx(70.0)


def test_other_data_and_other_protocols_are_blocks_of_their_own(tmp_path: Path) -> None:
    make.result(model="a").write(tmp_path / "a.json")
    make.result(model="b", official_data=False).write(tmp_path / "b.json")
    make.result(model="c", protocol="fast").write(tmp_path / "c.json")
    titles = [block.title for block in _table(tmp_path).blocks]
    assert titles == [
        "Measured, protocol test",
        "Measured, protocol fast",
        "Measured, protocol test, NOT on the official data",
        "Published, as printed by their sources",
    ]


def test_a_row_that_is_no_author_s_own_words_is_marked_and_its_address_holds_the_number() -> None:
    everything = published()
    for row in everything.rows:
        if row.table in ("retrieval", "mteb") or "ablation" in row.model or len(row.scores) == 1:
            assert everything.sources[row.source].secondary, row.label
    addresses = [source.url for source in everything.sources.values() if source.secondary]
    assert all(url.startswith(("https://en.papernotes.org/", "https://www.wizwand.com/")) for url in addresses)
    ablation = {row.model: row.scores["Avg"] for row in everything.of("sts") if "ablation" in row.model}
    assert list(ablation.values()) == ["77.3", "78.8", "78.6"]


def test_a_column_that_a_published_row_lacks_is_a_dash(tmp_path: Path) -> None:
    table = _table(make.two_models(tmp_path / "runs"))
    (row,) = (row for row in table.blocks[-1].rows if row.label.startswith("DALR's ablation: neither"))
    assert (row.cells["Avg"].text, row.note) == ("77.3", "[dalr] secondary")
    line = next(line for line in markdown(table).splitlines() if "neither group" in line)
    assert line.count("–") == 7


def test_every_published_row_has_its_source_and_its_own_digits() -> None:
    everything = published()
    counts = {table: len(everything.of(table)) for table in ("sts", "transfer", "retrieval", "mteb")}
    assert counts == {"sts": 27, "transfer": 12, "retrieval": 2, "mteb": 2}
    dalr = next(row for row in everything.of("sts") if row.model == "DALR" and row.backbone == "BERT-base")
    assert dalr.scores == dict(zip((*STS, "Avg"), "73.9 84.0 76.5 84.3 80.6 81.8 75.3 79.5".split(), strict=True))
    assert everything.sources[dalr.source].secondary
    mcse = next(row for row in everything.of("sts") if row.model == "MCSE" and row.backbone == "BERT-base")
    assert mcse.deviations["STS13"] == "1.3"
    for row in (row for row in everything.rows if len(row.scores) == 8):
        values = [float(text) for task, text in row.scores.items() if task != "Avg"]
        # Sources print one or two decimals, some averages from unrounded scores.
        assert float(row.scores["Avg"]) == pytest.approx(sum(values) / 7, abs=0.06)
