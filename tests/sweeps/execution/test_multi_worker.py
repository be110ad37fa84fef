"""Trials of several workers on a real Ray of two CPUs: real trainings of a tiny student."""

from pathlib import Path

import polars as pl
import pytest
import ray

from dalr.cluster.session import ray_session
from dalr.config.loading import read_config
from dalr.identity import identity_of
from dalr.sweeps.execution.runner import run_sweep
from dalr.sweeps.spec.loading import parse_spec
from tests.sweeps.make import small_recipe

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(2400)]  # each trial starts six processes


def test_stopped_trials_give_their_workers_to_the_next(tmp_path: Path, tiny_bert: Path) -> None:
    """Two workers fill the cluster, so a trial that held on to its own would end the sweep in a deadlock."""
    recipe = small_recipe(tmp_path, tiny_bert, steps=16, eval_every=4)
    chosen = parse_spec(
        {
            "recipe": str(recipe),
            "space": {"optim.learning_rate": {"choice": [1e-5, 1e-4, 1e-3]}},
            "sampler": {"name": "grid"},
            "scheduler": {"name": "asha", "grace_steps": 4, "reduction": 2},
            "resources": {"workers": 2, "cpus": 1},
        }
    )
    with ray_session(cpus=2, quiet=True):
        outcome = run_sweep(chosen, tmp_path / "out", quiet=True)
        ray.get(ray.remote(num_cpus=2)(lambda: None).remote(), timeout=60)  # everything is free again
    frame = pl.read_parquet(tmp_path / "out" / "trials.parquet")
    assert set(frame["state"]) == {"complete", "pruned"}, frame["reason"].to_list()
    assert outcome.best is not None
    for row in frame.to_dicts():
        folder = tmp_path / "out" / "runs" / f"trial-{row['trial']:04d}-seed-1"
        assert identity_of(read_config(folder / "config.yaml")).fingerprint == row["config_fingerprint"]
