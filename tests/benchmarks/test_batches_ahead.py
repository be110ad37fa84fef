"""What a slow batch costs a step: 20 ms of reading, beside a gradient that takes 100 ms.

The batch waits as for a disk, the gradient as for a GPU; all else is the small run's own.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dalr.training.trainer
from dalr.data.mixing import MixedBatches
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.small_run import small_config, write_corpora

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

BATCH, STEP, STEPS, MOST = 0.020, 0.100, 40, 1.05


def test_a_slow_batch_costs_nothing(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpora(tmp_path, np.random.default_rng(0))
    config = small_config(tmp_path, tiny_bert, train__steps=10**6)
    plain, compute = MixedBatches.batch, dalr.training.trainer.compute_gradients

    def slow(batches: Any, step: int) -> Any:
        time.sleep(BATCH)
        return plain(batches, step)

    def gradient(*words: Any, **options: Any) -> Any:
        began = time.perf_counter()
        terms = compute(*words, **options)
        time.sleep(max(0.0, STEP + began - time.perf_counter()))
        return terms

    monkeypatch.setattr(dalr.training.trainer, "compute_gradients", gradient)
    runs = {name: Run.start(config, RunFolder(tmp_path / name), torch.device("cpu")) for name in ("quick", "slow")}
    runs["slow"].batches.batch = slow.__get__(runs["slow"].batches)  # type: ignore[method-assign]
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(STEPS):  # in turn, so that what else the machine does hits both
        for name, run in runs.items():
            began = time.perf_counter()
            run.step()
            run.read()
            seconds[name].append(time.perf_counter() - began)
    for run in runs.values():
        run.close()
    quick, behind = (statistics.median(seconds[name]) for name in ("quick", "slow"))
    print(f"\na step {quick * 1e3:.1f} ms; with a batch of {BATCH * 1e3:.0f} ms {behind * 1e3:.1f} ms")
    assert behind <= MOST * quick
