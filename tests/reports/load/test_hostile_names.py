"""Names as people have them: no name ends a report, or breaks what is written of it."""

import json
import os
from pathlib import Path

import pytest

from dalr.reports.build import build
from dalr.reports.check import check
from dalr.reports.options import Options
from dalr.reports.write import write
from tests.reports import make

pytestmark = pytest.mark.medium

MODELS = [
    "two\nlines",
    "a" * 5000,
    "漢字 🐕",
    "tab\tand\r\nmore",
    "x\u2028y",
    "",
    "  ",
    "</script><b>",
    "-",
    "../..",
    "CON",
]


def test_models_of_any_name_make_a_report(tmp_path: Path) -> None:
    for index, model in enumerate(MODELS):
        values = make.result(base=60 + index).model_dump() | {"model": model}
        (tmp_path / "results").mkdir(exist_ok=True)
        (tmp_path / "results" / f"{index}.json").write_text(json.dumps(values))
    options = Options(with_figures=False, baseline="漢字 🐕", ablate=["漢字 🐕"])
    write(build([tmp_path / "results"], options), tmp_path / "out")
    assert check(tmp_path / "out") == []
    lines = (tmp_path / "out" / "report.md").read_text().splitlines()
    assert sum(line.startswith("| ") and line.count("|") == 11 for line in lines) == len(MODELS) + 27 + 4
    assert not [line for line in lines if line.startswith(("lines", "and", "more"))]


@pytest.mark.parametrize("folder", ["two\nlines", "s" * 250, "漢字 🐕", "a b#c?d%20", b"\xff\xfe", "-", "…", "..x"])
def test_folders_of_any_name_make_a_report(tmp_path: Path, folder: str | bytes) -> None:
    root = tmp_path / os.fsdecode(folder)
    make.run(root / "x" / "run-1", recipe="dalr", results={"a.json": make.result()})
    make.run(root / "run 2%", recipe="simcse", results={"a b#.json": make.result(base=60)}, train__steps=7)
    if isinstance(folder, str):  # polars writes to no other path
        make.sweep(root / "s", count=4)
        make.sweep(root / "x" / "s", count=4)
    write(build([root], Options(with_figures=False)), tmp_path / "out")
    assert check(tmp_path / "out", [root]) == []
    page = (tmp_path / "out" / "index.html").read_text()
    if isinstance(folder, str) and "\n" not in folder:
        assert page.count("a%20b%23.json") == 1


def test_ablations_and_sweeps_of_long_names_have_files_of_their_own(tmp_path: Path) -> None:
    names = ["n" * 300, "n" * 299 + "m", "?!", "!?"]
    for index in range(len(names)):
        folder = tmp_path / "runs" / str(index)
        make.run(folder, results={"a.json": make.result(base=60 + index)}, data__pair_every=index)
    keys = {f"runs/{index}": name for index, name in enumerate(names)}
    ablated = list(keys.values())
    report = build([tmp_path / "runs"], Options(with_figures=False, names=keys, ablate=ablated))
    files = [table.name for table in report.tables]
    assert len(files) == len(set(files)) == 5
    write(report, tmp_path / "out")
    assert check(tmp_path / "out") == []
