"""A module of the user's own, in a folder outside of the repository, in jobs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

import dalr
from dalr import extensions
from tests.cluster.ray_node import Node
from tests.small_run import write_corpora
from tests.user_module import small, write_module

pytestmark = pytest.mark.cluster


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Path]:
    """The module, imported here too, where the config is made and the report drawn."""
    path = write_module(tmp_path / "mine")
    extensions.load(path)
    yield path
    extensions.forget()


@pytest.mark.slow
def test_a_module_is_swept_and_trained_with_as_ray_jobs_and_reported_on(
    head: Node, imported: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    """The module lies in a folder outside of the repository; jobs take that folder along."""
    work, corpora = imported.parent, tmp_path / "corpora"
    corpora.mkdir()
    write_corpora(corpora, np.random.default_rng(0))
    base = small(corpora, tiny_bert, evaluation__data=None)
    (work / "recipe.yaml").write_text(yaml.safe_dump(base.dump()))
    values = {
        "recipe": "recipe.yaml",
        "space": {"objective.weights.spread": {"log": [0.01, 1.0]}, "objective.soft.spread.t": {"uniform": [1.0, 3.0]}},
        "metric": "OurPairs.dev",
        "sampler": {"name": "random"},
        "budget": {"trials": 2},
    }
    (work / "sweep.yaml").write_text(yaml.safe_dump(values))
    sweep, run = tmp_path / "sweep", tmp_path / "run"
    send(head, work, "sweep", "sweep.yaml", "--import", "my_terms.py", "--out", str(sweep))
    trials = pl.read_parquet(sweep / "trials.parquet")
    assert trials["state"].to_list() == ["complete"] * 2
    assert trials["objective.weights.spread"].is_between(0.01, 1.0).all()

    send(head, work, "train", str(sweep / "best.yaml"), "--import", "my_terms.py", "--workers", "2", "--out", str(run))
    notes = json.loads((run / "provenance.json").read_text())
    assert notes["imports"] == extensions.checksums()
    report = dalr.report([run, sweep])
    assert "OurPairs" in report.tables["own"].columns
    assert "spread" in json.dumps(report.figures["terms"])


def send(head: Node, work: Path, *words: str) -> None:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-m", "dalr", "submit", "--address", head.dashboard, "--", *words]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
