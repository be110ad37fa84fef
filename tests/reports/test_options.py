"""What a reader may choose: rows, tasks, published rows; and a user's own tasks."""

import json
from pathlib import Path
from typing import Any

import pytest

from dalr.errors import InputError
from dalr.reports.build import Report, build
from dalr.reports.check import check
from dalr.reports.options import Options
from dalr.reports.tables.grid import Table
from dalr.reports.write import texts, write
from dalr.results import STS, TRANSFER, TaskScore
from tests.reports import make


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two models with three seeds each, and a model from elsewhere with other tasks."""
    make.two_models(tmp_path / "runs")
    make.result(model="/srv/x/best", tasks=(*STS[:6], "MR"), base=50).write(tmp_path / "runs" / "best.json")
    return tmp_path / "runs"


def _built(place: Path, **options: Any) -> Report:
    return build([place], Options(with_figures=False, **options))


def _table(report: Report, name: str) -> Table:
    return next(table for table in report.tables if table.name == name)


def _rows(report: Report, name: str = "sts") -> list[str]:
    return [row.label for row in _table(report, name).measured]


@pytest.mark.parametrize(
    ("only", "expected"),
    [(["dalr"], ["dalr"]), (["runs/simcse-2", "DALR"], ["dalr", "simcse"]), (["/srv/x/best"], ["best"])],
)
def test_only_some_rows_are_shown(runs: Path, only: list[str], expected: list[str]) -> None:
    report = _built(runs, only=only)
    assert _rows(report) == expected
    assert set(report.loaded.scores.collect()["row"]) == set(report.labels)
    write(report, runs.parent / "out")
    assert check(runs.parent / "out") == []


def test_rows_keep_given_names_among_those_shown(runs: Path) -> None:
    report = _built(runs, only=["Ours", "best"], names={"dalr": "Ours"}, baseline="runs/dalr-1")
    assert _rows(report) == ["Ours", "best"]
    assert report.options.baseline == "Ours"


def test_a_baseline_is_named_as_any_row(runs: Path) -> None:
    marks = _table(_built(runs, baseline="simcse"), "sts")
    for word in ("runs/simcse-3", "SimCSE", "simcse-1"):
        assert _table(_built(runs, baseline=word), "sts") == marks
    for protocol in ("test", "fast"):
        make.result(protocol=protocol).write(runs / f"{protocol}.json")
    with pytest.raises(InputError, match=r"baseline a-model: fits several rows; give one of rows: a-model \(fast\), a"):
        _built(runs, baseline="a-model")


def test_chosen_tasks_are_the_columns(runs: Path) -> None:
    report = _built(runs, tasks=["STS-B", "STS12", "MR"])
    assert list(_table(report, "sts").columns) == ["STS12", "STSBenchmark"]
    assert list(_table(report, "transfer").columns) == ["MR"]
    assert _rows(report, "transfer") == ["best"]
    report = _built(runs, tasks=["sts"])
    assert [table.name for table in report.tables] == ["sts"]
    assert list(_table(report, "sts").columns)[-1] == "Avg"


def test_columns_that_nobody_measured_are_left_out_and_named(runs: Path) -> None:
    table = _table(_built(runs), "transfer")
    assert list(table.columns) == ["MR"]
    assert "Not shown, for no model was scored on them: CR, SUBJ, MPQA, SST, TREC, MRPC." in table.notes


def test_published_rows_can_be_left_out(runs: Path) -> None:
    table = _table(_built(runs, hide_published=True), "sts")
    assert {block.kind for block in table.blocks} == {"measured"}
    assert "http" not in " ".join(table.below)
    assert not [note for note in table.below if "ublished" in note]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["dlar"]}, r"only dlar: no row has this name; did you mean dalr\? \(rows: best, dalr, simcse\)"),
        ({"tasks": ["STSB"]}, r"tasks STSB: no such task; did you mean STS-B\?; known: STS12, "),
        ({"only": ["best"], "baseline": "dalr"}, "baseline dalr: no measured row has that name"),
        ({"only": ["best"], "tasks": ["CR"]}, "report: no scores to report"),
    ],
)
def test_words_that_mean_nothing_are_refused(runs: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _built(runs, **options)


def _own(path: Path, model: str, scores: dict[str, float], **provenance: Any) -> None:
    """A result on a user's own tasks."""
    made = make.result(model=model, scores={}, tasks=(), **provenance)
    tasks = {name: TaskScore(score=score, n=20, acc=score, devacc=score) for name, score in scores.items()}
    made.model_copy(update={"tasks": {**made.tasks, **tasks}}).with_averages().write(path)


def test_own_tasks_alone_make_a_report(tmp_path: Path) -> None:
    for seed in (1, 2):
        _own(tmp_path / "r" / f"{seed}.json", "mine", {"Reviews": 80.0 + seed, "Jokes": 60.0}, seed=seed)
    _own(tmp_path / "r" / "other.json", "other", {"Reviews": 70.0})
    report = _built(tmp_path / "r", baseline="other")
    (table,) = report.tables
    assert (table.name, table.columns) == ("own", {"Jokes": "Jokes", "Reviews": "Reviews"})
    assert [block.title for block in table.blocks] == ["Measured, protocol test"]
    cells = {row.label: row.cells["Reviews"].text for row in table.measured}
    assert cells == {"mine": "81.50", "other": "70.00"}
    assert not report.loaded.scores.collect()["official_data"].any()
    assert "official" not in texts(report, {})["report.md"].lower()
    write(report, tmp_path / "out")
    assert check(tmp_path / "out") == []


def test_own_tasks_stand_beside_the_field_s(tmp_path: Path) -> None:
    made = make.result(tasks=STS + TRANSFER)
    own = TaskScore(score=12.0, n=20, spearman=0.12, pearson=0.1)
    values = made.model_dump() | {"tasks": made.model_dump()["tasks"] | {"STS-jokes": own.model_dump()}}
    values |= {kind: {"simcse": {"value": 0.5}} for kind in ("alignment", "uniformity")}
    (tmp_path / "a.json").write_text(json.dumps(values))
    report = _built(tmp_path)
    assert [table.name for table in report.tables] == ["sts", "transfer", "own"]
    assert list(_table(report, "sts").columns)[-2:] == ["SICKRelatedness", "Avg"]
    assert list(_table(_built(tmp_path, tasks=["own"]), "own").columns) == ["STS-jokes"]


def test_the_first_headline_answers_for_the_baseline(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    for seed in (1, 2, 3):
        made = make.result(base=60 + seed**2 / 10, seed=seed)
        make.run(tmp_path / "runs" / f"old-{seed}", recipe="old", seed=seed, results={"a.json": made}, model__layers=1)
    first, second, *others = _built(tmp_path / "runs", baseline="old").answers
    assert first.headline.startswith("dalr beats old: +11.73 points")
    assert first.where == "Semantic textual similarity, protocol test, against the baseline"
    assert second.headline.startswith(
        "dalr has the highest average: 75.20 ± 0.10 over 3 seeds, 2.00 points above simcse"
    )
    assert others == []
    (only,) = _built(tmp_path / "runs", baseline="simcse").answers  # it names the baseline as it is
    assert only.headline == second.headline


def test_a_tie_and_a_single_trial_are_said_as_one_says_them(tmp_path: Path) -> None:
    for index, model in enumerate(("a", "b", "c")):
        scores = dict.fromkeys(STS, 70.0 - index * 1e-06)
        make.run(
            tmp_path / "r" / model, recipe=model, results={"a.json": make.result(scores=scores)}, model__layers=index
        )
    make.sweep(tmp_path / "r" / "s", count=2)
    report = _built(tmp_path / "r", baseline="a", ablate=["a"])
    text = texts(report, {})["report.md"]
    assert "a has the highest average: 70.00, one run, level with b" in text
    assert "-0.00" not in text
    assert "2 trials: 1 complete, 1 failed; all complete ones are shown." in text
    assert "1 trials" not in text
