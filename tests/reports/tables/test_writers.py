"""What is written: the digits, the marks, the escapes, and that LaTeX compiles."""

import csv
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from dalr.reports.build import Options, build
from dalr.reports.tables.writers.latex import escaped
from dalr.reports.write import write
from dalr.results import STS, TRANSFER
from tests.reports import make


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report over two models with seeds, one with a hostile name and a missing task."""
    root = tmp_path_factory.mktemp("report")
    make.two_models(root / "runs")
    make.sweep(root / "sweep", count=12, recipes=("dalr", "simcse"))
    hostile = make.result(model="100%_<b>|$x$#&~^\\{}漢字", tasks=STS[:5] + TRANSFER, base=60.0)
    hostile.write(root / "runs" / "extra.json")
    write(build([root / "runs", root / "sweep"], Options(baseline="simcse", with_figures=False)), root / "out")
    return root / "out"


def test_markdown_marks_best_second_missing_and_sources(written: Path) -> None:
    text = (written / "tables" / "sts.md").read_text()
    assert "| dalr | 3 | **72.20** ± 0.10 |" in text
    assert "| simcse | 3 | <u>70.20</u> ± 0.10 |" in text
    assert "| – | – | – |" in text
    assert "| 0.00 " not in text
    assert "| DALR, BERT-base, wiki+flickr \\[dalr\\] secondary |  | 73.9 |" in text
    assert "[awesome] Awesome-Sentence-Embedding" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {11}


def test_csv_has_the_printed_digits_and_empty_cells_where_nothing_was_measured(written: Path) -> None:
    lines = list(csv.DictReader((written / "tables" / "sts.csv").read_text().splitlines()))
    dalr = next(line for line in lines if line["model"] == "dalr")
    assert (dalr["STS12"], dalr["STS12_deviation"], dalr["kind"], dalr["seeds"]) == (
        "72.20",
        "0.10",
        "measured",
        "1 2 3",
    )
    hostile = next(line for line in lines if line["model"].startswith("100%"))
    assert hostile["SICKRelatedness"] == ""
    assert next(line for line in lines if line["model"].startswith("DALR"))["note"] == "[dalr] secondary"


def test_parquet_has_unrounded_values_and_their_files(written: Path) -> None:
    frame = pl.read_parquet(written / "tables" / "sts.parquet")
    cell = frame.filter(pl.col("label") == "dalr", pl.col("column") == "Avg").row(0, named=True)
    assert cell["value"] == pytest.approx(75.2)
    assert cell["sources"] == [f"runs/dalr-{seed}/results/sts.json" for seed in (1, 2, 3)]
    assert pl.read_parquet(written / "scores.parquet").height > 0


def test_html_escapes_names(written: Path) -> None:
    text = (written / "tables" / "sts.html").read_text()
    assert "100%_&lt;b&gt;" in text
    assert "<b>|" not in text


def test_latex_escapes_every_special_character() -> None:
    assert escaped("50% _x_ ± a–b 漢 é →") == r"50\% \_x\_ $\pm$ a--b ? é $\rightarrow$"


@pytest.mark.parametrize("name", ["sts", "transfer", "ablation-sts", "leaderboard-sweep"])
def test_latex_compiles_as_it_stands(written: Path, tmp_path: Path, name: str) -> None:
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("no pdflatex: install texlive-latex-base and texlive-latex-recommended")
    shutil.copy(written / "tables" / f"{name}.tex", tmp_path)
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert (tmp_path / f"{name}.pdf").stat().st_size > 5000
