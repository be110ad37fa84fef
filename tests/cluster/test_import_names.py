"""The commands in a folder with modules of the user's own that are called as parts of dalr once were."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from dalr.__main__ import main
from tests import ROOT
from tests.cluster.ray_node import Node
from tests.small_run import small_config, write_corpora

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

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


def test_a_job_that_trains_on_ray(folder: Path, head: Node) -> None:
    """The folder goes along, the user's modules with it; `python -m dalr` starts in it, here and there, and Ray's
    workers look there first."""
    out = folder.parent / "out"
    words = ["submit", "--address", head.dashboard, "--", "train", "run.yaml", "--out", str(out), "--quiet"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    call = [sys.executable, "-m", "dalr", *words]
    done = subprocess.run(call, cwd=folder, env=own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "model" / "model.safetensors").is_file()


def test_a_module_of_the_users_that_is_called_dalr(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray's workers look in the working directory first, so that this is refused and not met by them."""
    (folder / "dalr.py").write_text("raise SystemExit('not the package')\n")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "argv", ["dalr", "train", "run.yaml", "--out", str(folder / "out"), "--quiet"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "dalr.py would take the place of" in said
    assert said.count("\n") == 1
