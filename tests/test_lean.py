"""A lean installation: what it requires, what it does without the rest, what it says where something is missing."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dalr.extras import EXTRAS
from tests import ROOT
from tests.dalr.evaluation.small_data import write_small_data

pytestmark = pytest.mark.medium

BLOCKED = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCK:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCK = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Blocked())
from dalr.__main__ import main

for line in json.loads(sys.argv[2]):
    sys.argv = ["dalr", *line]
    try:
        main()
    except SystemExit as ended:
        print(f"EXIT {ended.code or 0} {line[0]}", file=sys.stderr, flush=True)
"""


def run(folder: Path, *lines: list[str]) -> tuple[list[str], str]:
    """Command lines in one process that finds no module of any extra: their exit codes, and what stderr says."""
    modules = [module for extra in EXTRAS.values() for module in extra.modules]
    words = [sys.executable, "-c", BLOCKED, json.dumps(modules), json.dumps(lines)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
    assert "Traceback" not in done.stderr, done.stderr
    return re.findall(r"EXIT (\d \w+)", done.stderr), done.stderr


def test_encoding_evaluation_and_reports_do_without_ray_open_clip_and_drawing(tmp_path: Path, tiny_bert: Path) -> None:
    data, model = str(write_small_data(tmp_path / "senteval")), str(tiny_bert)
    codes, said = run(
        tmp_path,
        ["encode", model, "a man plays", "--out", "v.npy"],
        ["evaluate", model, "--data", data, "--tasks", "STS12,CR", "--protocol", "fast", "--out", "results/r.json"],
        ["report", "results", "--out", "report"],
        ["report", "--check", "--out", "report"],
        ["recipes"],
        ["config", "temperature"],
        ["tasks"],
    )
    assert codes == ["0 encode", "0 evaluate", "0 report", "0 report", "0 recipes", "0 config", "0 tasks"], said
    assert said.count("warning: no figures: altair is not installed") == 1
    assert (tmp_path / "v.npy").is_file()
    assert "STS12" in (tmp_path / "report" / "report.md").read_text()


LACKING = [
    ("quickstart --out q", "ray", "cluster"),
    ("features quickstart data.root=root", "PIL", "images"),
    ("train quickstart data.root=root --local --out run", "PIL", "images"),
    ("evaluate MODEL --ray --data DATA --out r.json", "ray", "cluster"),
    ("sweep quickstart data.root=root --out s", "optuna|sqlalchemy", "search"),
    *((f"sweep {word} s", "optuna|sqlalchemy", "search") for word in ("status", "best", "stop", "pause", "resume")),
    *((f"sweep {word} s 1", "optuna|sqlalchemy", "search") for word in ("why", "reproduce", "skip")),
    *((f"sweep {word}", "optuna|sqlalchemy", "search") for word in ("add s a=1", "set s a=1", "dashboard s")),
    ("sweep extend s 1 train.steps=9", "optuna|sqlalchemy", "search"),
    ("submit -- report /nfs/a --out /nfs/b", "pathspec|ray", "cluster"),
    ("submit list", "ray", "cluster"),
]


def test_what_is_missing_is_named_in_one_line(tmp_path: Path, tiny_bert: Path) -> None:
    data = write_small_data(tmp_path / "s")
    lines = [line.replace("MODEL", str(tiny_bert)).replace("DATA", str(data)).split() for line, *_ in LACKING]
    codes, said = run(tmp_path, *lines)
    assert codes == [f"2 {words[0]}" for words in lines], said
    told = [line for line in said.splitlines() if line.startswith("dalr: ")]
    assert len(told) == len(LACKING), said
    for line, (words, module, extra) in zip(told, LACKING, strict=True):
        assert re.match(rf"dalr: ({module}) is not installed.*pip install 'dalr-lean\[{extra}\]'", line), (words, line)


def project(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_lean_and_its_extras_together_are_what_dalr_requires() -> None:
    full, lean = project("."), project("lean")
    extras = lean["optional-dependencies"]
    assert sorted([*lean["dependencies"], *(each for some in extras.values() for each in some)]) == sorted(
        full["dependencies"]
    )
    assert set(extras) == set(EXTRAS)
    for key in ("version", "requires-python", "license", "scripts"):
        assert lean[key] == full[key]


def test_both_wheels_hold_the_same_files(tmp_path: Path) -> None:
    held = []
    for folder in (".", "lean"):
        words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / folder)]
        subprocess.run(words, cwd=ROOT / folder, check=True, capture_output=True, timeout=300)
        names = zipfile.ZipFile(next((tmp_path / folder).glob("*.whl"))).namelist()
        held.append({name for name in names if ".dist-info/" not in name})
    assert held[0] == held[1]
    assert {"dalr/py.typed", "dalr/__init__.pyi", "dalr/extras.py"} <= held[0]


def test_only_what_an_extra_brings_is_explained() -> None:
    from dalr.extras import MissingPackage, explained

    with pytest.raises(MissingPackage, match=r"ray is not installed.*dalr-lean\[cluster\]"), explained():
        raise ModuleNotFoundError("No module named 'ray.train'", name="ray.train")
    with pytest.raises(ModuleNotFoundError, match="some_helper"), explained():
        raise ModuleNotFoundError("No module named 'some_helper'", name="some_helper")
