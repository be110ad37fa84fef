"""The commands as people call them, on a GPU: killed and continued, scored, and on Ray where it is installed."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from dalr.results import read_result
from tests.gpu.report import Report
from tests.gpu.steps import CUDA
from tests.gpu.world import World

STEPS = 60


def _dalr(*arguments: object, cuda: bool = True) -> subprocess.Popen[str]:
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", **({} if cuda else {"CUDA_VISIBLE_DEVICES": ""})}
    command = [sys.executable, "-m", "dalr", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )


def _ended(report: Report, what: str, process: subprocess.Popen[str]) -> str:
    """What it printed, when it has ended; its last lines are told where it failed. Where the time is over,
    the command ends the Ray that it started."""
    began = time.perf_counter()
    try:
        printed, _ = process.communicate()
    except TimeoutError:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=20)
        raise
    finally:
        process.kill()
    held = process.returncode == 0
    report.expect(held, f"{what}: ends with {process.returncode} after {time.perf_counter() - began:.1f} s")
    if not held:
        report.say("\n".join(printed.splitlines()[-15:]))
    return printed


def _config(world: World, **changes: object) -> Path:
    """A config file: sentences and pairs in turn, evaluations and checkpoints between the steps, two tasks at the
    end, and the precision that the recipes have."""
    few = max(10, STEPS // 6)
    tasks = str(world.folder / "embedded" / "senteval")
    config = world.config(
        "dalr",
        data__text=str(world.folder / "sentences.txt"),
        data__pair_every=2,
        evaluation__data=tasks,
        evaluation__tasks=["STSBenchmark", "MR"],
        train__precision="auto",
        train__steps=STEPS,
        train__eval_every=2 * few,
        train__checkpoint_every=few,
        **changes,
    )
    path = world.folder / "runs" / f"config-{time.monotonic_ns()}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    return path


def _lines(run: Path) -> list[dict[str, Any]]:
    file = run / "metrics.jsonl"
    if not file.exists():
        return []
    whole = file.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def _each_step_once(report: Report, what: str, run: Path) -> None:
    lines = _lines(run)
    steps = [line["step"] for line in lines]
    report.expect(steps == list(range(1, STEPS + 1)), f"{what}: each of {STEPS} steps once")
    if CUDA and lines:
        most = max(line.get("gpu_memory_bytes", 0) for line in lines)
        report.expect(most > 0, f"{what}: on the card, {most / 2**30:.1f} GiB at most")
    report.note("commands", what=what, last=lines[-1:] or None)


def train(report: Report, world: World) -> None:
    """`dalr train --local`, killed and continued; then `dalr evaluate` of its model, against the CPU's scores."""
    run = world.folder / "runs" / f"local-{time.monotonic_ns()}"
    command = ("train", _config(world), "--local", "--out", run)
    killed = _dalr(*command)
    try:
        while len(_lines(run)) < STEPS // 2 and killed.poll() is None:
            time.sleep(0.1)
    finally:
        killed.kill()
        killed.communicate()
    report.say(f"     killed after {len(_lines(run))} steps")
    _ended(report, "train, killed and continued", _dalr(*command))
    _each_step_once(report, "train, killed and continued", run)
    files = {cuda: run / "results" / f"again-{'cuda' if cuda else 'cpu'}.json" for cuda in (True, False)}
    tasks, data = "STSBenchmark,STS12,MR,TREC,MRPC", world.folder / "embedded" / "senteval"
    for cuda, file in files.items():
        process = _dalr("evaluate", run, "--data", data, "--tasks", tasks, "--out", file, cuda=cuda)
        _ended(report, f"evaluate on {'the card' if cuda else 'the CPU'}", process)
    scores = [read_result(file).scores for file in files.values()]
    off = {task: abs(score - scores[1][task]) for task, score in scores[0].items()}
    told = ", ".join(f"{task} {score:.2f}" for task, score in scores[0].items())
    report.expect(max(off.values()) <= 1.0, f"scores against the CPU's: {told}; off by {max(off.values()):.2f} at most")
    report.note("scores", cuda=scores[0], cpu=scores[1])


def on_ray(report: Report, world: World) -> None:
    """`dalr train` on Ray Train with NCCL, and a sweep whose trials share the card, one of them too large for its
    share."""
    if importlib.util.find_spec("ray") is None:
        report.say("on Ray: not installed")
        return
    card = ("--gpus", "1") if CUDA else ("--gpus", "0")
    run = world.folder / "runs" / f"ray-{time.monotonic_ns()}"
    _ended(report, "train on Ray", _dalr("train", _config(world), *card, "--out", run))
    _each_step_once(report, "train on Ray", run)
    _sweep(report, world)


def _sweep(report: Report, world: World) -> None:
    import polars as pl

    size, folder = world.size.batch, world.folder / "runs" / f"sweep-{time.monotonic_ns()}"
    spec = {
        "recipe": str(_config(world, train__length_groups="auto")),
        "overrides": {"evaluation.tasks": []},
        "space": {"train.batch_size": {"choice": [size, size // 2, 16 * size]}},
        "sampler": {"name": "grid"},
        "scheduler": {"name": "none"},
        "budget": {"trials": 3},
        "seeds": {"per_trial": 1, "final": 0},
        "resources": {"gpus": 0.25 if CUDA else 0, "cpus": 1},
    }
    file = folder.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    _ended(report, "sweep, four trials a card", _dalr("sweep", file, "--out", folder))
    trials = pl.read_parquet(next(folder.rglob("trials.parquet")))
    told = [f"{state}{f' ({reason})' if reason else ''}" for state, reason in trials.select("state", "reason").rows()]
    report.say("     " + "; ".join(" ".join(text.split())[:160] for text in told))
    states = trials["state"].to_list()
    report.expect(states.count("complete") == (2 if CUDA else 3), f"sweep: {states.count('complete')} complete")
    reasons = [reason for reason in trials["reason"].to_list() if reason]
    if CUDA:
        report.expect(
            len(reasons) == 1 and reasons[0].startswith("out of memory"), "sweep: the one too large ran out of memory"
        )
    report.note("sweep", states=states, reasons=reasons)


def doctor(report: Report, world: World) -> None:
    """What `dalr doctor` says here."""
    for line in _ended(report, "doctor", _dalr("doctor")).splitlines():
        report.say(f"     {line}")
