"""Tables: means, deviations, places, published rows, and what is missing stays visible."""

from pathlib import Path

import pytest

from dalr.errors import InputError
from dalr.reports.build import Options, build
from dalr.reports.load.frame import load
from dalr.reports.load.published import published
from dalr.reports.tables.labels import labels, omitted_defaults
from dalr.reports.tables.scores import AVERAGE, Cell, Row, Table, with_places
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


def test_every_published_row_has_its_source_and_its_own_digits() -> None:
    everything = published()
    assert (len(everything.of("sts")), len(everything.of("transfer"))) == (24, 8)
    dalr = next(row for row in everything.of("sts") if row.model == "DALR" and row.backbone == "BERT-base")
    assert dalr.scores == dict(zip((*STS, "Avg"), "73.9 84.0 76.5 84.3 80.6 81.8 75.3 79.5".split(), strict=True))
    assert everything.sources[dalr.source].secondary
    mcse = next(row for row in everything.of("sts") if row.model == "MCSE" and row.backbone == "BERT-base")
    assert mcse.deviations["STS13"] == "1.3"
    for row in everything.rows:
        values = [float(text) for task, text in row.scores.items() if task != "Avg"]
        # Sources print one or two decimals, some averages from unrounded scores.
        assert float(row.scores["Avg"]) == pytest.approx(sum(values) / 7, abs=0.06)


def test_labels_name_the_settings_in_which_a_recipe_s_rows_differ(tmp_path: Path) -> None:
    for index, (every, rate) in enumerate([(1, 3e-4), (2, 3e-4), (2, 5e-5)]):
        make.run(
            tmp_path / str(index),
            results={"a.json": make.result(base=70 + index)},
            data__pair_every=every,
            optim__learning_rate=rate,
        )
    make.run(tmp_path / "other", recipe="simcse", results={"a.json": make.result()}, objective__cross_modal=0.0)
    sources = load([tmp_path]).sources.values()
    named = labels(sources)
    assert omitted_defaults(sources) == [
        "dalr: pair_every=2, learning_rate=0.0003, where a row's name says nothing else."
    ]
    assert sorted(named.values()) == [
        "dalr",
        "dalr, learning_rate=5e-05",
        "dalr, pair_every=1",
        "simcse",
    ]


def test_the_setting_with_the_most_seeds_is_the_one_that_others_differ_from(tmp_path: Path) -> None:
    rows = [(1, {}), (2, {})] + [(1, {"data__pair_every": 2, "objective__cross_modal": x}) for x in (0.0, 0.1, 0.2)]
    for index, (seed, settings) in enumerate(rows):
        make.run(tmp_path / str(index), seed=seed, results={"a.json": make.result(base=70 + index)}, **settings)
    named = set(labels(load([tmp_path]).sources.values()).values())
    assert named == {"dalr", *(f"dalr, pair_every=2{x}" for x in ("", ", cross_modal=0", ", cross_modal=0.2"))}


def test_labels_go_by_the_recipe_where_a_run_says_how_it_differs(tmp_path: Path) -> None:
    for index, rate in enumerate([3e-4, 5e-5, 5e-5]):
        notes = {"overrides": {"optim.learning_rate": rate} if rate != 3e-4 else {}}
        results = {"a.json": make.result(base=70 + index)}
        # Most rows have another rate than the recipe's own; it is theirs that is said.
        made = {"optim__learning_rate": rate, "objective__cross_modal": index / 10}
        make.run(tmp_path / str(index), results=results, notes=notes, **made)
    named = set(labels(load([tmp_path]).sources.values()).values())
    assert named == {"dalr", "dalr, cross_modal=0.1, learning_rate=5e-05", "dalr, cross_modal=0.2, learning_rate=5e-05"}


def test_an_untrained_run_is_called_so_and_stands_against_every_seed(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    untrained = {"train__steps": 1, "optim__warmup_steps": 1}
    made = make.run(tmp_path / "runs" / "u", recipe="simcse", results={"sts.json": make.result(base=60)}, **untrained)
    sources = load([tmp_path / "runs"]).sources
    assert sorted(set(labels(sources.values()).values())) == ["dalr", "simcse", "untrained"]
    assert next(one.seed for one in sources.values() if one.run and one.run.folder == made) is None


def test_trials_and_runs_of_many_settings_are_called_after_their_folders(tmp_path: Path) -> None:
    names = ["trial-0007-seed-1", "final-dalr-base-seed-1001", "by-hand-seed3", "usual", "usual-too"]
    for index, name in enumerate(names):
        make.run(
            tmp_path / name,
            results={"a.json": make.result()},
            data__pair_every=min(index, 3),
            optim__learning_rate=min(index, 3),
            objective__cross_modal=min(index, 3),
            objective__intra_modal=min(index, 3),
            model__layers=min(index, 3),
            train__batch_size=index,
        )
    assert set(labels(load([tmp_path]).sources.values()).values()) == {
        "dalr, trial-0007",
        "dalr, the sweep's base",
        "dalr, by-hand",
        "dalr, batch_size=3",
        "dalr, batch_size=4",
    }


def test_labels_can_be_given_by_fingerprint_model_or_name(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    make.result(model="minilm").write(tmp_path / "runs" / "m.json")
    sources = load([tmp_path]).sources.values()
    fingerprint = next(one.setting for one in sources if one.run and one.run.recipe == "simcse")
    named = labels(sources, {fingerprint[:8]: "SimCSE", "dalr": "Ours", "minilm": "MiniLM"})
    assert sorted(named.values()) == ["MiniLM", "Ours", "SimCSE"]
    with pytest.raises(InputError, match=r"--name nobody=X: no row is called 'nobody' \(rows: dalr, minilm, simcse\)"):
        labels(sources, {"nobody": "X"})
    with pytest.raises(InputError, match="two rows would be called 'simcse'"):
        labels(sources, {"dalr": "simcse"})
