"""What is written: the digits, the marks, the escapes, and that LaTeX compiles."""

import csv
import io
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import hypothesis
import polars as pl
import pytest
from markdown_it import MarkdownIt

from dalr.reports.build import build
from dalr.reports.load.names import one_line
from dalr.reports.load.slug import slug
from dalr.reports.options import Options
from dalr.reports.tables.grid import Block, Cell, Row, Table
from dalr.reports.tables.writers import latex
from dalr.reports.tables.writers.data import comma_separated
from dalr.reports.tables.writers.html import table_html
from dalr.reports.tables.writers.markdown import markdown
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
    assert "\\[awesome\\] Awesome-Sentence-Embedding" in text
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
    expected = r"50\% \_x\_ $\pm$ a--b \dalrchar{6F22}{漢} é $\rightarrow$ -{}-x"
    assert latex.escaped("50% _x_ ± a–b 漢 é → --x") == expected


TABLES = ["sts", "transfer", "ablation-sts", "leaderboard-sweep"]


def _compiled(source: str, folder: Path, engine: str = "pdflatex") -> str:
    """The log of a document that compiles."""
    program = shutil.which(engine)
    if program is None:
        pytest.skip(f"no {engine}: install texlive-latex-base, texlive-latex-recommended, texlive-xetex")
    (folder / "document.tex").write_text(source)
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "document.pdf").stat().st_size > 5000
    assert "Float too large" not in done.stdout
    return done.stdout


@pytest.mark.parametrize("name", TABLES)
def test_latex_compiles_as_it_stands(written: Path, tmp_path: Path, name: str) -> None:
    assert "Overfull" not in _compiled((written / "tables" / f"{name}.tex").read_text(), tmp_path)


@pytest.mark.parametrize("engine", ["pdflatex", "xelatex"])
def test_latex_is_read_into_a_paper(written: Path, tmp_path: Path, engine: str) -> None:
    for name in TABLES:
        shutil.copy(written / "tables" / f"{name}.tex", tmp_path)
    files = "".join(rf"\input{{{name}}}\clearpage" for name in TABLES)
    packages = r"\usepackage{booktabs,graphicx}"
    source = rf"\documentclass{{article}}{packages}\begin{{document}}\listoftables {files}\end{{document}}"
    for _ in range(2):  # the second time with a list of tables
        _compiled(source, tmp_path, engine)
    assert (tmp_path / "document.aux").read_text(errors="replace").count(r"\newlabel{tab:") == len(TABLES)
    text = (tmp_path / "sts.tex").read_text()
    assert text.index("sample standard deviation") < text.index(r"\end{table}")


HOSTILE = "two\nlines,a|b,back\\slash,`code`,<b>&amp;,# x,* y,[z](u),$x^2$ 100%,~/_a_,漢字 🐕,--x,\u2028,".split(",")
NAMES = hypothesis.strategies.text(max_size=40) | hypothesis.strategies.sampled_from(HOSTILE)


def _table(*, name: str, other: str) -> Table:
    cells = {"a": Cell(value=1.0, place=1), "b": Cell(value=-0.001)}
    rows = (Row(label=name, identity="1", cells=cells, note=other), Row(label=other, identity="2", cells=cells))
    blocks = (Block(title=f"Block {other}", kind="measured", rows=rows),)
    return Table(name="t", title=name, columns={"a": other, "b": name}, blocks=blocks, key=(name,), notes=(other,))


def _in_html(text: str) -> list[str]:
    """The texts of a table's cells, in their order."""
    return [one_line(unescape(re.sub("<[^>]*>", "", part))) for part in re.split("</t[hd]>", text)]


@pytest.mark.medium
@hypothesis.settings(deadline=None)
@hypothesis.given(name=NAMES, other=NAMES)
def test_every_writer_holds_any_name(name: str, other: str) -> None:
    table = _table(name=name, other=other)
    shown = [one_line(text) for text in (f"{name} {other}", other)]
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown(table))
    assert html.count("<tr>") == 4
    texts = _in_html(html)
    assert all(text in texts for text in shown if text)
    lines = list(csv.reader(io.StringIO(comma_separated(table))))
    assert [line[0] for line in lines[1:]] == [one_line(name), one_line(other)]
    assert len({len(line) for line in lines}) == 1
    assert all(text in [*_in_html(table_html(table)), ""] for text in shown)
    tex = latex.latex(table)
    assert tex.count("\n") == latex.latex(_table(name="a", other="b")).count("\n") + latex._CHARACTER.count("\n") * (
        latex._CHARACTER in tex
    )
    body = re.sub(r"\\[\\{}&%$#_~^]", "", latex.escaped(name))
    assert not set("&%#_~^") & set(body)
    assert body.count("{") == body.count("}")


@hypothesis.given(names=hypothesis.strategies.sets(hypothesis.strategies.text(max_size=400), min_size=2, max_size=4))
def test_every_name_gives_a_file_name(names: set[str]) -> None:
    for name in names:
        assert 0 < len(os.fsencode(f".ablation-transfer-{slug(name)}.parquet.01234567.tmp")) <= 255
        assert slug(name) == slug(name).strip("-").lower()
        assert not set(slug(name)) & set('/\\:*?"<>| \n\0.')
    long = [f"{'x' * 300}{name}" for name in names]
    assert len({slug(name) for name in long}) == len(long)
