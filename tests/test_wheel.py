"""The wheel: it holds what the commands read besides code, and runs in an empty venv."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=300)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_tracked_file_of_the_packages(wheel: Path) -> None:
    packages = ["dalr", "cluster", "sweeps", "reports"]
    listed = subprocess.run(["git", "ls-files", *packages], cwd=ROOT, check=True, capture_output=True, text=True)
    paths = {path for path in listed.stdout.split() if (ROOT / path).is_file()}
    tracked = {path if path.startswith("dalr/") else f"dalr/{path}" for path in paths}
    held = set(zipfile.ZipFile(wheel).namelist())
    assert tracked
    assert tracked <= held
    assert {name.split("/")[0] for name in held if ".dist-info/" not in name} == {"dalr"}
    for data in ("dalr/reports/published.yaml", "dalr/sweeps/spec/bundled/dalr_core.yaml", "dalr/cluster/Dockerfile"):
        assert data in held


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_wheel_runs_the_quickstart_in_an_empty_venv(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=300)
    install = [str(venv / "bin" / "pip"), "install", "--quiet", f"{wheel}[quickstart]"]
    subprocess.run(install, check=True, timeout=2400)
    quickstart = [str(venv / "bin" / "dalr"), "quickstart", "--out", "quickstart"]
    done = subprocess.run(quickstart, cwd=tmp_path, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "quickstart" / "report" / "index.html").is_file()
    assert "report" in done.stdout
    assert "where the time went" in done.stdout
