"""A sweep on a real Ray whose only node for trials is lost with all that is on it, while the sweep draws, trains, ends
a trial, or does its final runs; another node joins. What comes out is what a sweep comes to that nothing disturbed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dalr.cluster.session import ray_session
from dalr.sweeps.execution.runner import run_sweep
from dalr.sweeps.search.snapshot import read_state
from tests.faults.cluster import Cluster, running_cluster
from tests.faults.test_sweep import CHOSEN, MOMENTS, at, check_steps, undisturbed  # noqa: F401
from tests.sweeps.make import spec
from tests.sweeps.search import fakes

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster(1) as cluster:
        yield cluster


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", [pytest.param(moment, marks=pytest.mark.ci if moment == "training" else ()) for moment in MOMENTS]
)
def test_node(
    tmp_path: Path,
    undisturbed: dict[str, Any],  # noqa: F811
    moment: str,
    cluster: Cluster,
) -> None:
    lost: list[str] = []

    def lose_node() -> None:
        (node,) = cluster.workers
        lost.append(node.name)
        cluster.lose(node)
        cluster.add_node()

    chosen = spec(**CHOSEN, resources={"concurrent": 1})
    with pytest.MonkeyPatch.context() as patch, ray_session(cluster.head.address, quiet=True):
        at(patch, MOMENTS[moment](), lose_node, before=False)
        run_sweep(chosen, tmp_path, quiet=True, train=fakes.train)
    assert len(lost) == 1
    frame = pl.read_parquet(tmp_path / "trials.parquet").sort("trial", "seed").drop("seconds")
    finals = [(each.candidate, each.run.seed, each.run.state, each.run.value) for each in read_state(tmp_path).finals]
    assert {"trials": frame.rows(named=True), "finals": finals} == undisturbed
    check_steps(tmp_path, again=3)
