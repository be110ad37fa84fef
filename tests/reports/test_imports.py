"""reports/ stays light: no torch, ray or transformers, and of dalr only what it may know."""

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys, reports
for module in pkgutil.walk_packages(reports.__path__, "reports."):
    importlib.import_module(module.name)
heavy = sorted({"torch", "ray", "transformers", "open_clip"} & set(sys.modules))
# dalr.reporting is what dalr.progress listens with
allowed = {"dalr", "dalr.reporting", "dalr.results", "dalr.statistics", "dalr.errors", "dalr.files", "dalr.progress"}
others = sorted(
    name for name in sys.modules if name.split(".")[0] in ("dalr", "sweeps", "cluster") and name not in allowed
)
print(heavy, others)
"""


def test_importing_all_of_reports_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[] []"
