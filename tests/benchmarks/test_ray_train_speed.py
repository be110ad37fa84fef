"""One worker through Ray Train against the plain loop: samples a second after start-up.

The configuration of docs/real-run.md with all terms of `dalr`: the small encoder's first 2 layers, batch
32, 24 tokens, real captions. Both sides are the real command in processes of their own, one thread each,
in turn, so that the machine's moods hit both. Two times are compared: a step's own, as metrics.jsonl has
it, and the time from one line of metrics.jsonl to the next, which has all that happens between steps.
Run with `make benchmarks`.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import ray
import torch

from dalr.cluster.session import ray_session
from dalr.config.overrides import to_yaml, with_overrides
from dalr.data.features.prepare import prepare_features
from tests.benchmarks.test_cached_teachers import config_of

pytestmark = [pytest.mark.benchmark, pytest.mark.cluster, pytest.mark.timeout(3600)]

ROUNDS, STEPS, WARM_UP = 4, 50, 10


class Arrivals:
    """Inside the block, notes when each line of a file arrives."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.times: list[float] = []
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Arrivals":
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._watcher.join()

    def _watch(self) -> None:
        size = 0
        while not self._ended.wait(0.002):
            now = self.file.stat().st_size if self.file.exists() else 0
            if now > size:
                new = self.file.read_bytes()[size:now].count(b"\n")
                self.times += [time.perf_counter()] * new
                size = now

    def gaps(self) -> list[float]:
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]


def seconds_of(recipe: Path, out: Path, *how: str) -> tuple[list[float], list[float]]:
    """The seconds of each step after the first ones, and those from line to line."""
    call = [sys.executable, "-m", "dalr", "train", str(recipe), "--quiet", "--out", str(out), *how]
    with Arrivals(out / "metrics.jsonl") as arrivals:
        subprocess.run(call, check=True)
    steps = [json.loads(line)["seconds"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert (len(steps), len(arrivals.times)) == (STEPS, STEPS)
    return steps[WARM_UP:], arrivals.gaps()[WARM_UP:]


def test_samples_a_second(real_data: Path, tmp_path: Path) -> None:
    config = with_overrides(config_of(real_data, tmp_path, 1), {"train.steps": STEPS, "train.eval_every": STEPS})
    prepare_features(config, quiet=True)
    (tmp_path / "run.yaml").write_text(to_yaml(config))
    steps: dict[str, list[float]] = {"plain": [], "ray": []}
    gaps: dict[str, list[float]] = {"plain": [], "ray": []}
    with ray_session(cpus=2, quiet=True):
        ways = {"plain": ["--local"], "ray": ["--address", ray.get_runtime_context().gcs_address]}
        for turn in range(ROUNDS):
            for name in sorted(ways, reverse=turn % 2 == 1):
                own, between = seconds_of(tmp_path / "run.yaml", tmp_path / f"{name}-{turn}", *ways[name])
                steps[name] += own
                gaps[name] += between
    print(f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}, ray {ray.__version__}, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    for what, seconds in (("a step's own time", steps), ("from line to line", gaps)):
        plain, on_ray = (config.train.batch_size / statistics.median(seconds[name]) for name in ("plain", "ray"))
        print(f"{what}: plain {plain:.1f} samples/s, Ray Train {on_ray:.1f} samples/s, {on_ray / plain:.3f}x")
        assert on_ray > 0.9 * plain  # 0.97 is the aim; the rest is the machine's
