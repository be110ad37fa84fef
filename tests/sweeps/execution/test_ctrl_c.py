"""Ctrl-C, as a terminal sends it to a process group: what is done is kept, and the last line says how to go on."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dalr.config.overrides import to_yaml
from dalr.sweeps.execution.trial import train_here
from dalr.sweeps.search.snapshot import read_state
from dalr.sweeps.search.spec_file import saved_spec
from tests import ROOT
from tests.small_run import small_config, write_corpora
from tests.sweeps.make import coordinator
from tests.sweeps.search import fakes

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A small run's config.yaml."""
    folder = tmp_path_factory.mktemp("ctrl c")
    write_corpora(folder, np.random.default_rng(0))
    path = folder / "base.yaml"
    path.write_text(to_yaml(small_config(folder, tiny_bert, train__steps=40, train__eval_every=10)))
    return path


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """A command in a process group of its own, as a shell starts it."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "dalr", *words],
            stdout=file, stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip


def interrupt(process: subprocess.Popen[bytes], *, when: Callable[[], bool]) -> int:
    """Sends the group SIGINT once; the exit code."""
    deadline = time.monotonic() + 600
    while not when():
        assert process.poll() is None, "it ended before it was interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    try:
        return process.wait(300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_an_interrupted_sweep_keeps_its_trials_and_says_how_it_goes_on(base: Path, tmp_path: Path) -> None:
    """It starts a Ray of its own, which Ctrl-C reaches too; it goes on without Ray, in a loop that plays Tune."""
    spec, out, log = tmp_path / "sweep.yaml", tmp_path / "out", tmp_path / "log"
    spec.write_text(
        f"recipe: {base}\nspace: {{optim.learning_rate: {{log: [1.0e-4, 1.0e-3]}}}}\n"
        "sampler: {name: random, seed: 0}\nbudget: {trials: 3}\nseeds: {per_trial: 1, final: 0}\n"
        "resources: {concurrent: 1}\n"
    )
    words = ["sweep", str(spec), "--out", str(out)]
    code = interrupt(start(words, log), when=lambda: "trial 0 complete" in log.read_text())
    last = log.read_text().splitlines()[-1]
    assert code == 130, log.read_text()
    assert "interrupted: running trials end, ended ones are kept" in log.read_text()
    assert last.startswith("dalr: interrupted, nothing is lost: ")
    assert last.endswith(f"; the same command continues: {shlex.join(['dalr', *words])}")
    assert not any(line.startswith("Traceback") for line in log.read_text().splitlines())  # Ray's have a prefix
    kept = {trial.number: trial.values for trial in read_state(out).trials if trial.state == "complete"}
    assert 0 in kept
    fakes.work(coordinator(saved_spec(out), out, touch=False), trainer=train_here)
    trials = {trial.number: trial for trial in read_state(out).trials}
    assert len(trials) == 3
    assert {number: trials[number].values for number in kept} == kept


def test_an_interrupted_run_saves_its_last_step(base: Path, tmp_path: Path) -> None:
    """One without Ray: `tests/faults/test_one_process.py`."""
    out, log = tmp_path / "run", tmp_path / "log"
    words = ["train", str(base), "train.steps=100000", "--out", str(out)]
    metrics = out / "metrics.jsonl"
    process = start(words, log)
    code = interrupt(process, when=lambda: metrics.is_file() and len(metrics.read_text().splitlines()) > 5)
    last = log.read_text().splitlines()[-1]
    assert code == 130, log.read_text()
    assert last.startswith("dalr: interrupted after step ")
    assert last.endswith(f", which is saved; the same command continues: {shlex.join(['dalr', *words])}")
    step = int(last.removeprefix("dalr: interrupted after step ").partition(",")[0])
    assert (out / f"checkpoints/step-{step:06d}/meta.json").is_file()
    assert not any(line.startswith("Traceback") for line in log.read_text().splitlines())  # Ray's have a prefix
