"""Whole sweeps on a real Ray: killed drivers, failing trials, the dashboard of what remains."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import yaml

from sweeps.run import run_sweep
from tests.sweeps import fakes
from tests.sweeps.make import spec

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]

DRIVER = """
import sys
from pathlib import Path
import yaml
from sweeps.loading import parse_spec
from sweeps.run import run_sweep
from tests.sweeps import fakes
spec = parse_spec(yaml.safe_load(Path(sys.argv[1]).read_text()))
run_sweep(spec, Path(sys.argv[2]), quiet=True, train=fakes.slow_train)
"""


def start_driver(file: Path, out: Path) -> subprocess.Popen[bytes]:
    """A sweep in a process of its own, to be killed."""
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(file), str(out)], cwd=ROOT, env=dict(os.environ))


def steps_written(out: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in out.glob("runs/*/steps.jsonl"))


def test_driver_killed_three_times(tmp_path: Path) -> None:
    """Killed whenever some more steps are done: in the end every trial is there once, under its number,
    and no step that a checkpoint held was done again."""
    chosen = spec(
        budget={"trials": 8}, overrides={"train.steps": 30, "train.eval_every": 3}, resources={"concurrent": 2}
    )
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(chosen.dump()))
    numbers: dict[int, float] = {}
    for goal in (25, 90, 150):
        driver = start_driver(file, out)
        while steps_written(out) < goal:
            if driver.poll() is not None:  # on a busy machine Ray gives up starting after 30 s
                driver = start_driver(file, out)
            time.sleep(0.05)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        if (out / "trials.parquet").is_file():
            seen = dict(pl.read_parquet(out / "trials.parquet").select("trial", "optim.learning_rate").rows())
            assert all(seen[number] == rate for number, rate in numbers.items())
            numbers = seen
    assert any(start_driver(file, out).wait(timeout=300) == 0 for _ in range(3))
    frame = pl.read_parquet(out / "trials.parquet")
    assert frame["trial"].to_list() == list(range(8))
    assert set(frame["state"]) == {"complete"}
    assert all(dict(frame.select("trial", "optim.learning_rate").rows())[n] == rate for n, rate in numbers.items())
    for path in out.glob("runs/*/steps.jsonl"):
        steps = Counter(json.loads(line)[0] for line in path.read_text().splitlines())
        assert set(steps) == set(range(1, 31))
        assert sum(steps.values()) <= 30 + 3 * 3


def test_each_kind_of_failure_is_listed_and_the_sweep_ends(tmp_path: Path) -> None:
    space = {"optim.weight_decay": {"choice": [0.0, *fakes.FATES]}}
    chosen = spec(space=space, sampler={"name": "grid"}, budget={}, resources={"concurrent": 2, "timeout_minutes": 0.2})
    began = time.monotonic()
    outcome = run_sweep(chosen, tmp_path, quiet=True, train=fakes.train)
    assert time.monotonic() - began < 300
    assert outcome.best is not None
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    reasons = {fakes.FATES.get(row["optim.weight_decay"], "none"): row["reason"] for row in frame.to_dicts()}
    assert dict(frame.select("optim.weight_decay", "state").rows()) == {
        decay: "complete" if decay == 0 else "failed" for decay in (0.0, *fakes.FATES)
    }
    assert reasons["none"] is None
    assert reasons["raises"] == "RuntimeError: the disk is on fire"
    assert reasons["nan"].startswith("diverged")
    assert reasons["memory"].startswith("out of memory")
    assert reasons["limit"].startswith("out of memory")
    assert reasons["hangs"].startswith("hung: no sign of life for 0.2 minutes")
    assert reasons["dies"].startswith("its worker died")


def test_processes_serve_several_trials(tmp_path: Path) -> None:
    """The processes are Tune's; what counts is that imports are paid once, not once a trial."""
    run_sweep(spec(resources={"concurrent": 1}), tmp_path, quiet=True, train=fakes.train)
    lines = [line for path in tmp_path.glob("runs/*/steps.jsonl") for line in path.read_text().splitlines()]
    workers = {json.loads(line)[1] for line in lines}
    assert len(workers) == 1


def test_stopped_trials_leave_their_process_to_the_next(tmp_path: Path) -> None:
    chosen = spec(scheduler={"name": "asha", "grace_steps": 3}, budget={"trials": 8}, resources={"concurrent": 1})
    run_sweep(chosen, tmp_path, quiet=True, train=fakes.train)
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert set(frame["state"]) == {"complete", "pruned"}
    lines = [line for path in tmp_path.glob("runs/*/steps.jsonl") for line in path.read_text().splitlines()]
    workers = {json.loads(line)[1] for line in lines}
    assert len(workers) == 1
