"""The commands in a folder with modules of the user's own that are called as parts of dalr once were."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests import ROOT
from tests.cluster.ray_node import Node
from tests.small_run import small_config, write_corpora

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SCRIPT = (sys.executable, str(Path(sys.executable).with_name("dalr")))
OWN = ("cluster.py", "sweeps.py", "reports/__init__.py", "cluster_notes/__init__.py")


@pytest.fixture
def folder(tmp_path: Path, tiny_bert: Path) -> Path:
    """A working directory with such modules, each of which ends the process that imports it, and a config."""
    write_corpora(tmp_path, np.random.default_rng(0))
    config = small_config(tmp_path, tiny_bert, train__steps=2, train__eval_every=2)
    work = tmp_path / "work"
    for name in OWN:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("raise SystemExit(f'the user\\'s own {__file__} was imported')\n")
    (work / "run.yaml").write_text(yaml.safe_dump(config.dump()))
    return work


def call(words: list[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **env}
    return subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True, timeout=300)


def test_training_on_ray(folder: Path, head: Node) -> None:
    out = folder / "out"
    words = ["train", "run.yaml", "--out", str(out), "--address", head.address, "--quiet"]
    done = call([*SCRIPT, *words], folder, RAY_AUTH_MODE="disabled")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "model" / "model.safetensors").is_file()


def test_a_job(folder: Path, head: Node) -> None:
    """The folder goes along, the user's modules with it, and `python -m dalr` starts in it, here and there."""
    out = folder.parent / "out"
    words = ["submit", "--address", head.dashboard, "--", "train", "run.yaml", "--out", str(out), "--local"]
    done = call([sys.executable, "-m", "dalr", *words], folder, RAY_AUTH_MODE="disabled")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "model" / "model.safetensors").is_file()


def test_a_module_of_the_users_that_is_called_dalr(folder: Path) -> None:
    """Ray's workers look in the working directory first, so that this is refused and not met by them."""
    (folder / "dalr.py").write_text("raise SystemExit('not the package')\n")
    done = call([*SCRIPT, "train", "run.yaml", "--out", str(folder / "out"), "--quiet"], folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "dalr.py would take the place of" in done.stderr
    assert done.stderr.count("\n") == 1
