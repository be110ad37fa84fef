"""Two nodes that do not see each other's disks: all that they share is a bucket and the folder of inputs.

The second node runs in a mount namespace of its own, in which another folder lies where the first one has
its disk.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dalr.config.overrides import to_yaml
from dalr.config.schema import RunConfig
from dalr.files import write_text
from tests.cluster.ray_node import Node, start_head, start_worker
from tests.cluster.storage.s3_server import BUCKET, KEYS, S3Server
from tests.faults.oracle import assert_as_undisturbed
from tests.small_run import small_config, write_corpora

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1200)]

HIDE = ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh"]
"""Runs the words after two folders with the first folder in the second one's place."""


@dataclass
class Disks:
    """The first node's disk, which is the driver's too; the second node's; and what both see."""

    first: Path
    second: Path
    common: Path
    head: Node
    env: dict[str, str]
    server: S3Server

    def train(self, config: RunConfig, out: str) -> subprocess.CompletedProcess[str]:
        """`dalr train` with a worker on each node."""
        file = self.common / "run.yaml"
        write_text(file, to_yaml(config))
        words = [sys.executable, "-m", "dalr", "train", str(file), "--workers", "2", "--address", self.head.address]
        environment = {**os.environ, **self.env}
        return subprocess.run(
            [*words, "--out", out, "--quiet"], env=environment, capture_output=True, text=True, timeout=600
        )


@pytest.fixture(scope="module")
def disks() -> Iterator[Disks]:
    folder = Path(tempfile.mkdtemp(prefix="dalr-"))
    first, second, common = (folder / name for name in ("first", "second", "common"))
    for path in (first, second, common):
        path.mkdir()
    hidden = [*HIDE, str(second), str(first)]
    if subprocess.run([*hidden, "true"], capture_output=True).returncode != 0:
        shutil.rmtree(folder)
        pytest.skip("a disk of its own for each node needs the right to mount: run as root")
    server = S3Server()
    env = {**KEYS, "AWS_ENDPOINT_URL": server.endpoint, "DALR_CACHE": str(first / "cache")}
    nodes: list[Node] = []
    try:
        write_corpora(common, np.random.default_rng(0))
        nodes.append(start_head(folder, cpus=1, env=env))
        nodes.append(start_worker(nodes[0], folder, env=env, inside=hidden))
        yield Disks(first, second, common, nodes[0], env, server)
    finally:
        for node in reversed(nodes):
            node.stop()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_each_node_fills_a_feature_store_of_its_own(disks: Disks, tiny_bert: Path, tmp_path: Path) -> None:
    """And the run comes to what it comes to where the nodes share a folder."""
    private = small_config(disks.common, tiny_bert, data__store=str(disks.first / "features"))
    done = disks.train(private, f"s3://{BUCKET}/private")
    assert done.returncode == 0, done.stderr
    stores = [disk / "features" for disk in (disks.first, disks.second)]
    arrays, others = (sorted(path.relative_to(store) for path in store.rglob("*.npy")) for store in stores)
    assert arrays
    assert arrays == others
    assert all((stores[0] / path).read_bytes() == (stores[1] / path).read_bytes() for path in arrays)

    shared = small_config(disks.common, tiny_bert, data__store=str(disks.common / "features"))
    done = disks.train(shared, str(disks.common / "shared"))
    assert done.returncode == 0, done.stderr
    assert_as_undisturbed(disks.server.copy("private", tmp_path / "private"), disks.common / "shared")


def test_what_a_node_lacks_is_named_and_no_worker_waits_for_it(disks: Disks, tiny_bert: Path) -> None:
    captions = disks.first / "captions.csv"
    shutil.copy(disks.common / "captions.csv", captions)
    lacking = small_config(disks.common, tiny_bert, data__captions=str(captions), data__store=str(disks.first / "f"))
    done = disks.train(lacking, f"s3://{BUCKET}/lacking")
    assert done.returncode == 2, done.stderr
    assert str(captions) in done.stderr.strip().splitlines()[-1]
    assert disks.server.checkpoints("lacking") == {}
