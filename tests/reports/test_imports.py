"""reports/ stays light: no torch, ray, transformers or optuna, and of dalr only what it may know."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.reports import make

pytestmark = pytest.mark.medium

SCRIPT = """
import importlib, pkgutil, sys, dalr.reports
for module in pkgutil.walk_packages(dalr.reports.__path__, "dalr.reports."):
    importlib.import_module(module.name)
from pathlib import Path

import pytest
from dalr.reports.build import build
from dalr.reports.options import Options
from dalr.reports.write import texts
texts(build([Path(sys.argv[1])], Options()), {})
heavy = sorted({"torch", "ray", "transformers", "open_clip", "optuna"} & set(sys.modules))
allowed = {"dalr", "dalr.results", "dalr.statistics", "dalr.errors", "dalr.files", "dalr.progress"}
allowed |= {"dalr.yaml_text", "dalr.validation", "dalr.reading", "dalr.metrics_log", "dalr.extras"}
ours = {name for name in sys.modules if name.split(".")[0] == "dalr" and not name.startswith("dalr.reports")}
ours -= {"dalr.losses", "dalr.losses.terms"}
others = sorted(name for name in ours if ".".join(name.split(".")[:2]) not in allowed)
print(heavy, others)
"""


def test_importing_all_of_reports_and_using_it_imports_nothing_heavy(tmp_path: Path) -> None:
    make.sweep(tmp_path / "sweep", count=12)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "sweep"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[] []"
