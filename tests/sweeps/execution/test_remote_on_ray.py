"""A sweep on an S3-compatible server, its study in PostgreSQL, on a real Ray: its trials' workers store their runs
themselves, and its driver is killed with them."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import ROOT
from tests.cluster.storage.s3_server import S3Server
from tests.sweeps.execution.test_ray import kill_with_all_it_started
from tests.sweeps.execution.test_remote import (  # noqa: F401
    OUT,
    environment,
    outcome,
    server,
    values,
)
from tests.sweeps.search.test_postgres import database  # noqa: F401

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]


def sweep(specification: Path, out: str) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "dalr", "sweep", str(specification), "--out", out, "--quiet"]
    return subprocess.Popen(words, cwd=ROOT, env=dict(os.environ), stdout=subprocess.DEVNULL)


def test_a_remote_sweep_is_the_local_one_also_when_its_driver_and_workers_die(
    values: dict[str, Any],  # noqa: F811
    server: S3Server,  # noqa: F811
    database: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    chosen = {**values, "resources": {"concurrent": 1}}
    local, remote = tmp_path / "local.yaml", tmp_path / "remote.yaml"
    local.write_text(yaml.safe_dump(chosen))
    remote.write_text(yaml.safe_dump({**chosen, "storage": database}))
    assert sweep(local, str(tmp_path / "local")).wait() == 0

    first = sweep(remote, OUT)
    try:
        while not server.checkpoints("sweeps/core/runs/trial-0001-seed-1"):
            assert first.poll() is None, "it ended before its second trial had a checkpoint"
            time.sleep(0.1)
    finally:
        kill_with_all_it_started(first)
        first.wait()
    assert sweep(remote, OUT).wait() == 0

    copy = server.copy("sweeps/core", tmp_path / "copy")
    assert outcome(copy) == outcome(tmp_path / "local")
    for run in (copy / "runs").iterdir():
        lines = (run / "metrics.jsonl").read_text().splitlines()
        assert Counter(json.loads(line)["step"] for line in lines) == dict.fromkeys(range(1, 9), 1), run
