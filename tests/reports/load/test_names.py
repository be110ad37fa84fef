"""Names: a report says nothing of the machine that it was made on, and holds wherever it is moved to."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dalr.errors import InputError
from dalr.reports.build import build
from dalr.reports.check import check
from dalr.reports.load.names import relative_place, shortened, without_paths
from dalr.reports.options import Options
from dalr.reports.write import write
from tests.reports import make


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("/home/somebody/data/flickr8k/captions.csv", "…/flickr8k/captions.csv"),
        ("/home/somebody/model", "…/model"),
        ("/home/somebody", "…"),
        ("/Users/somebody/x/y", "…/x/y"),
        ("~/runs/a", "…/runs/a"),
        ("/mnt/data", "…/mnt/data"),
        ("princeton-nlp/sup-simcse", "princeton-nlp/sup-simcse"),
        ("…/a/model", "…/a/model"),
    ],
)
def test_paths_keep_their_last_parts(path: str, short: str) -> None:
    assert shortened(path) == short
    assert without_paths({"key": [path]}) == {"key": [short]}


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("no such file: /home/somebody/a/b.csv; look", "no such file: …/a/b.csv; look"),
        ("/srv/x/y/z.json: not readable", "…/y/z.json: not readable"),
        ("see https://example.org/a/b/c and runs/a/b/c", "see https://example.org/a/b/c and runs/a/b/c"),
        ("samples/s and 1/2, …/a/b", "samples/s and 1/2, …/a/b"),
    ],
)
def test_paths_inside_of_sentences_are_shortened_and_nothing_else(text: str, short: str) -> None:
    assert without_paths(text) == short


def test_places_are_relative_unless_that_would_name_the_machine_s_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert relative_place(Path("/srv/p/runs"), Path("/srv/p/docs/report")) == "../../runs"
    assert relative_place(Path("/home/me/runs"), Path("/home/me/report")) == "../runs"
    assert relative_place(Path("/home/you/runs"), Path("/home/me/report")) is None
    assert relative_place(Path("/mnt/runs"), Path("/home/me/report")) is None


@pytest.fixture(scope="module")
def made_project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A repository with runs, a sweep, a foreign model and a damaged file, all full of absolute paths, and
    its report under docs/: where it was made, and where it lies now."""
    folder = tmp_path_factory.mktemp("project")
    root = folder / "home-of-secrets" / "project"
    for seed in (1, 2):
        model = str(root / "runs" / f"dalr-{seed}" / "model")
        made = make.result(model=model, base=70 + seed, seed=seed)
        files = {"data__captions": str(root / "captions.csv"), "model__student": str(root / "models" / "tiny")}
        make.run(root / "runs" / f"dalr-{seed}", seed=seed, results={"sts.json": made}, **files)
    make.result(model=str(root / "models" / "other"), recipe=str(root / "best.yaml")).write(root / "runs/other.json")
    (root / "runs" / "damaged.json").write_text("{")
    make.sweep(root / "sweep", count=12)
    trials = root / "sweep" / "trials.parquet"
    make.with_reason(trials, f"bad input: {root}/x.npy: no such file")
    options = Options(names={str(root / "models" / "other"): "Other"}, baseline="Other")
    write(build([root / "runs", root / "sweep"], options), root / "docs" / "report")
    return root, root.rename(folder / "kept")


@pytest.fixture
def project(made_project: tuple[Path, Path]) -> Iterator[Path]:
    """The repository in the place where it was made, for one test to change."""
    root, kept = made_project
    shutil.copytree(kept, root)
    yield root
    shutil.rmtree(root.parent)


@pytest.mark.medium
def test_nothing_in_a_report_names_the_machine(project: Path) -> None:
    files = [path for path in (project / "docs" / "report").rglob("*") if path.is_file()]
    assert len(files) > 40
    for path in files:
        content = path.read_bytes()
        for word in (b"home-of-secrets", b"somebody", str(project).encode()):
            assert word not in content, path
    page = (project / "docs" / "report" / "index.html").read_text()
    assert "captions: …/project/captions.csv" in page
    assert "bad input: …/project/x.npy: no such file" in page
    assert 'href="../../runs/dalr-1/results/sts.json"' in page


def test_a_moved_project_s_report_agrees_from_anywhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "renamed"
    shutil.move(project, moved)
    monkeypatch.chdir("/")
    assert check(moved / "docs" / "report") == []


def test_a_report_far_from_its_sources_is_checked_where_they_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What lies in nobody's common folder is recorded by name alone.
    monkeypatch.setattr("dalr.reports.load.names.os.path.commonpath", lambda paths: "/")
    out = project.parent / "report"
    write(build([project / "runs", project / "sweep"], Options(with_figures=False)), out)
    record = json.loads((out / "report.json").read_text())
    assert record["places"] == [{"name": name, "path": None, "folder": None} for name in ("runs", "sweep")]
    assert 'href="../' not in (out / "index.html").read_text()
    with pytest.raises(InputError, match=r"do not lie near it; name them \(runs, sweep\): dalr report DIR"):
        check(out)
    with pytest.raises(InputError, match="name as many folders, in that order"):
        check(out, [project / "runs"])
    (project / "runs").rename(project / "runs-of-last-year")
    assert check(out, [project / "runs-of-last-year", project / "sweep"]) == []


def test_a_row_that_is_gone_is_named_and_not_an_error(project: Path) -> None:
    (project / "runs" / "other.json").unlink()
    found = check(project / "docs" / "report")
    assert "runs/other.json: used by the report, and gone" in found
    assert any(line.startswith("it cannot be made again: baseline Other: no measured row") for line in found)
