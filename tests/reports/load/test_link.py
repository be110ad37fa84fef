"""Results and their runs: a report depends on the folders it is given, never on where the command is called."""

import json
from pathlib import Path

import pytest

from dalr.reports.build import build
from dalr.reports.check import check
from dalr.reports.load.frame import Loaded, load
from dalr.reports.options import Options
from dalr.reports.write import write
from tests.reports import make

RUN = {"config_fingerprint": "abc"}


def _runs(loaded: Loaded) -> dict[str, str | None]:
    return {name: source.run_name for name, source in loaded.sources.items()}


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """Results of a run that was `runs/a` where it was evaluated, and another `runs/a` beside them."""
    make.run(tmp_path / "trap" / "runs" / "a", recipe="another", seed=7, notes={"config_fingerprint": "other"})
    made = make.result(model="runs/a/model", config_fingerprint="abc", recipe="dalr", seed=1)
    made.write(tmp_path / "elsewhere" / "results" / "test.json")
    return tmp_path


def test_a_folder_that_the_report_is_not_made_of_gives_no_run(trap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for folder in ("trap", "trap/runs", "elsewhere", "."):
        monkeypatch.chdir(trap / folder)
        report = build([trap / "elsewhere" / "results"], Options(with_figures=False))
        seen.append((_runs(report.loaded), list(report.labels.values()), report.problems))
    assert seen == [({"results/test.json": None}, ["dalr"], ())] * 4


@pytest.mark.medium
def test_a_report_is_the_same_from_every_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.two_models(tmp_path / "big-disk" / "runs", seeds=(1,))
    made = make.result(model="dalr-2/model", seed=2, **RUN)
    make.run(tmp_path / "big-disk" / "runs" / "dalr-2", seed=2, notes=RUN)
    made.write(tmp_path / "project" / "results" / "test.json")
    (tmp_path / "project" / "runs").symlink_to(tmp_path / "big-disk" / "runs")
    (tmp_path / "shortcut").symlink_to(tmp_path / "project")
    (tmp_path / "deep").symlink_to(tmp_path / "big-disk" / "runs" / "dalr-1")
    calls = [
        (".", ["project/runs", "project/results"], "project/docs/report"),
        ("project", ["runs", "./results"], "docs/report"),
        ("project/results", ["../runs", "."], "../docs/report"),
        ("shortcut", ["runs", str(tmp_path / "project" / "results")], "docs/../docs/report"),
        ("/", [str(tmp_path / "shortcut" / "runs"), str(tmp_path / "shortcut" / "results")], None),
        (".", ["deep/..", "shortcut/results"], "shortcut/docs/report"),
    ]
    texts = []
    for cwd, places, out in calls:
        monkeypatch.chdir(tmp_path / cwd)
        folder = Path(out or tmp_path / "shortcut" / "docs" / "report")
        folder.mkdir(parents=True, exist_ok=True)
        write(build([Path(place) for place in places], Options(with_figures=False)), folder)
        assert check(folder) == []
        texts.append((folder / "report.md").read_text() + (folder / "tables" / "sts.csv").read_text())
        monkeypatch.chdir("/")
        assert check(tmp_path / "project" / "docs" / "report") == []
        assert check(tmp_path / "shortcut" / "docs" / "report") == []
    assert len(set(texts)) == 1


@pytest.mark.parametrize("inside", ["results/test.json", "results", "."])
def test_a_result_belongs_to_the_run_that_it_lies_in(tmp_path: Path, inside: str) -> None:
    run = make.run(tmp_path / "a", seed=4, notes=RUN, results={"test.json": make.result(seed=9, **RUN)})
    (source,) = load([run / inside]).sources.values()
    assert source.run is not None
    assert (source.seed, source.run.folder) == (4, run)


@pytest.mark.parametrize(("of_run", "of_result", "linked"), [("x", "x", True), ("x", "y", False), (None, "y", True)])
def test_the_run_around_a_result_is_its_run_unless_their_fingerprints_differ(
    tmp_path: Path, of_run: str | None, of_result: str, linked: bool
) -> None:
    made = make.result(config_fingerprint=of_result)
    make.run(tmp_path / "runs" / "a", notes={"config_fingerprint": of_run}, results={"test.json": made})
    loaded = load([tmp_path / "runs"])
    assert _runs(loaded) == {"runs/a/results/test.json": "runs/a" if linked else None}
    assert (
        [problem.message for problem in loaded.problems] == []
        if linked
        else ["scores the config y, but the run that it lies in has x; it is shown without that run's settings"]
    )


def test_a_result_finds_its_run_wherever_both_were_moved(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make.run(tmp_path / "runs" / name / "a", seed=4, notes=RUN)
    make.result(model="/gone/runs/two/a/model", seed=9, **RUN).write(tmp_path / "results" / "test.json")
    assert _runs(load([tmp_path / "runs", tmp_path / "results"])) == {"results/test.json": "runs/two/a"}
    assert _runs(load([tmp_path / "results"])) == {"results/test.json": None}


def test_a_model_s_path_alone_makes_no_link(tmp_path: Path) -> None:
    run = make.run(tmp_path / "runs" / "a", seed=4, notes={"config_fingerprint": "retrained"})
    make.result(model=str(run / "model"), seed=9, **RUN).write(tmp_path / "results" / "test.json")
    loaded = load([tmp_path / "runs", tmp_path / "results"])
    assert _runs(loaded) == {"results/test.json": None}
    assert [source.seed for source in loaded.sources.values()] == [9]


def test_links_to_files_are_read_once(tmp_path: Path) -> None:
    run = make.run(tmp_path / "a", results={"test.json": make.result()})
    (run / "results" / "zz-latest.json").symlink_to("test.json")
    (tmp_path / "b-latest").symlink_to(run)
    loaded = load([tmp_path])
    assert (list(_runs(loaded).values()), loaded.problems) == ([f"{tmp_path.name}/a"], ())


@pytest.mark.parametrize("model", ["x" * 5000, "nul\0byte", "/" + "y" * 300, "a/" * 3000])
def test_a_model_s_name_may_be_no_path(tmp_path: Path, model: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(make.result().model_dump() | {"model": model}))
    assert len(load([tmp_path]).sources) == 1
