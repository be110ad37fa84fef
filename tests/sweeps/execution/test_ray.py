"""Whole sweeps on a real Ray: killed drivers, failing trials, the dashboard of what remains."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
import psutil
import pytest
import ray
import yaml

from dalr.cluster.session import free_port
from dalr.config.schema import RunConfig
from dalr.errors import NotEnoughResources
from dalr.sweeps.execution.runner import run_sweep
from dalr.sweeps.search.records import Task
from dalr.training.callbacks import Callback, Outcome
from tests import ROOT
from tests.sweeps.make import spec
from tests.sweeps.search import fakes

pytestmark = pytest.mark.cluster

DRIVER = """
import sys
from pathlib import Path
import yaml
from dalr.sweeps.spec.loading import parse_spec
from dalr.sweeps.execution.runner import run_sweep
from tests.sweeps.search import fakes
spec = parse_spec(yaml.safe_load(Path(sys.argv[1]).read_text()))
run_sweep(spec, Path(sys.argv[2]), quiet=True, train=fakes.slow_train)
"""


def start_driver(file: Path, out: Path) -> subprocess.Popen[bytes]:
    """A sweep in a process of its own, to be killed."""
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(file), str(out)], cwd=ROOT, env=dict(os.environ))


def steps_written(out: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in out.glob("runs/*/steps.jsonl"))


def kill_with_all_it_started(driver: subprocess.Popen[bytes]) -> None:
    """The driver, its Ray and its workers, at once: as when the machine loses power."""
    for process in [*psutil.Process(driver.pid).children(recursive=True), psutil.Process(driver.pid)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.slow
def test_driver_killed_at_three_random_moments(tmp_path: Path) -> None:
    """Twice the driver alone, once everything: in the end every trial is there once, under its number, and
    no step that a checkpoint held was done again."""
    moments = sorted(random.sample(range(5, 200), 3))
    print(f"killed after {moments} steps of 240")
    chosen = spec(
        budget={"trials": 8}, overrides={"train.steps": 30, "train.eval_every": 3}, resources={"concurrent": 2}
    )
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(chosen.dump()))
    numbers: dict[int, float] = {}
    for goal in moments:
        driver = start_driver(file, out)
        while steps_written(out) < goal:
            if driver.poll() is not None:  # on a busy machine Ray gives up starting after 30 s
                driver = start_driver(file, out)
            time.sleep(0.05)
        if goal == moments[1]:
            kill_with_all_it_started(driver)
        else:
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


def test_each_kind_of_failure_is_listed_and_the_sweep_ends(ray_cluster: None, tmp_path: Path) -> None:
    """A trial whose worker dies once is none of them: it goes on from its checkpoint."""
    space = {"optim.weight_decay": {"choice": [0.0, fakes.ONCE, *fakes.FATES]}}
    chosen = spec(space=space, sampler={"name": "grid"}, budget={}, resources={"concurrent": 2, "timeout_minutes": 0.2})
    began = time.monotonic()
    outcome = run_sweep(chosen, tmp_path, quiet=True, train=fakes.train)
    assert time.monotonic() - began < 300
    assert outcome.best is not None
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    reasons = {fakes.FATES.get(row["optim.weight_decay"], "none"): row["reason"] for row in frame.to_dicts()}
    assert dict(frame.select("optim.weight_decay", "state").rows()) == {
        decay: "failed" if decay in fakes.FATES else "complete" for decay in (0.0, fakes.ONCE, *fakes.FATES)
    }
    assert reasons["none"] is None
    assert reasons["raises"] == "RuntimeError: the disk is on fire"
    assert reasons["nan"].startswith("diverged")
    assert reasons["memory"].startswith("out of memory")
    assert reasons["limit"].startswith("out of memory")
    assert re.match(r"hung: no sign of life for \d\.\d minutes", reasons["hangs"])
    assert reasons["dies"].startswith("its worker died")
    number = dict(frame.select("optim.weight_decay", "trial").rows())[fakes.ONCE]
    lines = (tmp_path / "runs" / f"trial-{number:04d}-seed-1" / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)[0] for line in lines] == [1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9]
    assert len({json.loads(line)[1] for line in lines}) == 2


def seen_train(config: RunConfig, folder: Path, listener: Callback, task: Task) -> Outcome:
    """As `fakes.train`, noting from when to when it ran and on which GPU; ends once two have begun."""
    began = time.time()
    outcome = fakes.train(config, folder, listener, task)
    while len(list(folder.parent.glob("*/steps.jsonl"))) < 2 and time.time() < began + 120:
        time.sleep(0.1)
    seen = [began, time.time(), os.environ.get("CUDA_VISIBLE_DEVICES"), task.gpus]
    (folder / "seen.json").write_text(json.dumps(seen))
    return outcome


def test_two_trials_share_one_gpu(tmp_path: Path) -> None:
    """Ray counts the GPU; none need be there."""
    chosen = spec(resources={"gpus": 0.5, "cpus": 0.25}, sampler={"name": "random"})
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=2, num_gpus=1, dashboard_host="127.0.0.1", dashboard_port=free_port(), log_to_driver=False)
    try:
        outcome = run_sweep(chosen, tmp_path, quiet=True, train=seen_train)
        with pytest.raises(NotEnoughResources, match="not enough GPU: 1 worker of 2 GPU"):
            run_sweep(spec(resources={"gpus": 2}), tmp_path / "more", quiet=True, train=fakes.train)
    finally:
        ray.shutdown()
    assert not list((tmp_path / "more").glob("runs/*")), "nothing was started"
    seen = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/seen.json")]
    assert {(card, share) for _, _, card, share in seen} == {("0", 0.5)}
    together = [sum(begin <= start < end for begin, end, *_ in seen) for start, *_ in seen]
    assert max(together) == 2
    assert outcome.state.gpu_hours("quickstart") == pytest.approx(
        sum(trial.seconds for trial in outcome.state.trials) / 2 / 3600
    )


def test_trials_leave_their_process_to_the_next(ray_cluster: None, tmp_path: Path) -> None:
    """Those that end and those that are stopped: imports are paid once a start, not once a trial. A second start, with
    a larger budget, goes on with what is there."""
    asha = {"name": "asha", "grace_steps": 3}
    for trials, processes in ((4, 1), (8, 2)):
        chosen = spec(scheduler=asha, budget={"trials": trials}, resources={"concurrent": 1})
        run_sweep(chosen, tmp_path, quiet=True, train=fakes.train)
        lines = [line for path in tmp_path.glob("runs/*/steps.jsonl") for line in path.read_text().splitlines()]
        assert len({json.loads(line)[1] for line in lines}) == processes
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame["trial"].to_list() == list(range(8))
    assert set(frame["state"]) == {"complete", "pruned"}
