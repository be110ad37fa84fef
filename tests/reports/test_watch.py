"""`dalr report --watch`: the page follows what is there, and stays a report like any other when that ends."""

import time
from pathlib import Path

import pytest

from dalr.reports.watch import reloading, remake


def test_the_page_reloads_itself_while_it_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    def make() -> None:
        nonlocal made
        made += 1
        (tmp_path / "index.html").write_text(f"<html><head><title>{made}</title></head></html>")

    seen = []

    def sleep(seconds: float) -> None:
        seen.append((tmp_path / "index.html").read_text())
        if len(seen) == 3:
            raise KeyboardInterrupt

    make()
    monkeypatch.setattr(time, "sleep", sleep)
    remake(make, tmp_path, seconds=60)
    head = '<html><head><meta http-equiv="refresh" content="60">'
    assert seen == [f"{head}<title>{number}</title></head></html>" for number in (1, 2, 3)]
    assert (tmp_path / "index.html").read_text() == "<html><head><title>4</title></head></html>"


def test_the_page_of_a_report_has_the_place_for_it() -> None:
    from tests import ROOT

    page = (ROOT / "docs" / "example-report" / "index.html").read_text(encoding="utf-8")
    assert reloading(page, 60).count('http-equiv="refresh"') == 1
