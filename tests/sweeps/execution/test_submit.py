"""A sweep as a Ray job: sent by `dalr submit` to a real job server."""

from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.cluster.jobs.test_jobs import submit
from tests.cluster.ray_node import Node
from tests.sweeps.make import small_recipe

pytestmark = pytest.mark.cluster


def test_a_sweep_runs_as_a_job_and_tells_what_ended(head: Node, tmp_path: Path, tiny_bert: Path) -> None:
    recipe = small_recipe(tmp_path, tiny_bert, steps=4, eval_every=4)
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    values = {
        "recipe": str(recipe),
        "space": {"optim.learning_rate": {"log": [1e-5, 1e-3]}},
        "sampler": {"name": "random"},
        "budget": {"trials": 3},
        "resources": {"concurrent": 1},
    }
    (work / "sweep.yaml").write_text(yaml.safe_dump(values))
    done = submit(head, "--", "sweep", "sweep.yaml", "--out", str(out), folder=work)
    assert done.exit_code == 0, done.stdout + done.stderr
    frame = pl.read_parquet(out / "trials.parquet")
    assert frame["trial"].to_list() == [0, 1, 2]
    assert set(frame["state"]) == {"complete"}
    said = done.stdout + done.stderr
    assert "3 trials of 4 steps, 12 in all" in said
    assert "trial 1 complete, 4 steps: " in said
    assert "best: trial " in said
