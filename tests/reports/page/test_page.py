"""The page in a real browser: no errors, no requests, tables sort, figures draw, names open."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dalr.reports.build import build
from dalr.reports.load.names import addresses
from dalr.reports.options import Options
from dalr.reports.write import texts, write
from tests.reports import make

pytestmark = pytest.mark.medium

PROBE = Path(__file__).with_name("probe.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report over trained models, an incomplete one with a hostile name, and a sweep."""
    root = tmp_path_factory.mktemp("page")
    make.two_models(root / "runs")
    hostile = "</script><img src=x onerror=alert(1)>"
    make.result(model=hostile, scores={"STS12": 71.0}).write(root / "runs" / "extra.json")
    make.sweep(root / "sweep", count=20)
    made = build([root / "runs", root / "sweep"], Options(baseline="simcse"))
    for name, text in texts(made, addresses(made.loaded.names, root / "out")).items():
        (root / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "out" / name).write_text(text)
    return root / "out"


def test_the_page_loads_nothing_and_says_so(report_folder: Path) -> None:
    text = (report_folder / "index.html").read_text()
    assert "default-src 'none'" in text
    own = text.replace(text[text.index('<script type="application/json"') : text.rindex("<script>")], "")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//|@import|url\(""", own)
    assert "<img src=x" not in text
    assert text.count("</script>") == 3


def test_the_answer_is_at_the_top(report_folder: Path) -> None:
    text = (report_folder / "index.html").read_text()
    assert text.index('id="answer"') < text.index('id="tables"')
    assert "dalr has the highest average: 75.20 ± 0.10 over 3 seeds, 2.00 points above simcse." in text


def test_every_source_is_linked_from_the_page(report_folder: Path) -> None:
    text = (report_folder / "index.html").read_text()
    for href in re.findall(r'href="((?!#)[^"]+\.(?:json|yaml))"', text):
        assert (report_folder / href).is_file()
    assert 'href="../runs/dalr-1/results/sts.json"' in text


def test_a_browser_draws_sorts_and_opens_without_errors_or_requests(report_folder: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium: install it to test the page in a browser")
    page = report_folder / "probed.html"
    text = (report_folder / "index.html").read_text()
    before, _, after = text.rpartition("</body>")
    page.write_text(f"{before}<script>{PROBE}</script></body>{after}")
    command = [
        chromium,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
        *("--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=60000"),
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
    found = re.search(r'<script type="application/json" id="seen">(.*?)</script>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    seen = json.loads(found[1])
    hostile = "</script><img src=x onerror=alert(1)>"
    assert seen["descending"] == ["dalr", hostile, "simcse"]
    assert seen["ascending"] == ["simcse", hostile, "dalr"]
    assert seen["missing"][-1] == hostile  # a dash is never first
    assert seen["sorted"] == "descending"
    assert seen["published"] == 28  # its heading and 27 rows
    assert len(seen["charts"]) >= 7
    assert all(paths > 3 for _, paths in seen["charts"]), seen["charts"]
    assert len(seen["open"]) == 1
    assert seen["focus"] == "SUMMARY"
    assert seen["filtered"] == [["simcse", "simcse"], "5 rows"]  # of two tables, and three of the published
    assert seen["unfiltered"] > 2
    assert seen["scrolled"] == 150
    assert all(0 <= left < 10 for left in seen["stays"]), seen["stays"]
    # At 400 px no figure is shrunk to less than nine tenths: its words keep their size.
    assert {width for _, width, _ in seen["narrow"]} == {seen["narrow"][0][1]}
    assert seen["narrow"][0][1] < 400
    assert all(scale >= 90 for _, _, scale in seen["narrow"]), seen["narrow"]
    assert len(set(seen["papers"])) == 2
    assert seen["requests"] == []


def test_figures_are_files_for_papers(tmp_path: Path) -> None:
    make.sweep(tmp_path / "sweep", count=12)
    write(build([tmp_path / "sweep"], Options()), tmp_path / "out")
    for ending, beginning in (("svg", b"<svg"), ("pdf", b"%PDF"), ("png", b"\x89PNG")):
        content = (tmp_path / "out" / "figures" / f"expected-sweep.{ending}").read_bytes()
        assert content.startswith(beginning)
        assert len(content) > 2000
