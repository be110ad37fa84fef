"""What the processes of `test_gradient_overlap` run: the same steps over a slow link, in buckets and at once."""

import json
import statistics
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor

from dalr.config.loading import read_config
from dalr.distributed import barrier, rank
from dalr.training.gradients import Gradients
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.dalr.training.gradient_workers import AfterBackward, parameters_of

BUCKETS = 18
"""As many as BERT-base has of 25 MB."""
ROUNDS = 6


class Link:
    """A network between the workers that carries one tensor at a time, `bytes_per_second` of it."""

    def __init__(self) -> None:
        self.bytes_per_second = float("inf")
        self.given: list[tuple[float, int]] = []
        """When a bucket was given to it, by the processor's time of the thread that computes, and its bytes."""
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._plain = dist.all_reduce

    def all_reduce(self, tensor: Tensor, *words: Any, async_op: bool = False, **options: Any) -> Any:
        if async_op:
            self.given.append((time.thread_time(), tensor.nbytes))
        sent = self._thread.submit(self._carry, tensor, *words, **options)
        return _Work(sent) if async_op else sent.result()

    def _carry(self, tensor: Tensor, *words: Any, **options: Any) -> None:
        began = time.perf_counter()
        self._plain(tensor, *words, **options)
        time.sleep(max(0.0, tensor.nbytes / self.bytes_per_second + began - time.perf_counter()))

    def close(self) -> None:
        self._thread.shutdown()


class _Work:
    def __init__(self, sent: Future[None]) -> None:
        self.wait = sent.result


def backward_seconds(run: Run) -> float:
    """The seconds of the backward pass alone, on this worker."""
    plain = torch.autograd.backward
    seconds: list[float] = []

    def timed(*words: Any) -> None:
        began = time.perf_counter()
        plain(*words)
        seconds.append(time.perf_counter() - began)

    with mock.patch.object(torch.autograd, "backward", timed):
        for _ in range(5):
            barrier()
            run.step()
    return statistics.median(seconds[1:])


def without_waiting(run: Run, link: Link) -> tuple[float, float]:
    """Seconds of a step by buckets and at once, if the processor were this thread's alone and the link free: the
    processor's time, and when the link would be done with what it was given."""
    link.given.clear()
    began = time.thread_time()
    run.step()
    computed = time.thread_time() - began
    free = 0.0
    for given, size in link.given:
        free = max(free, given - began) + size / link.bytes_per_second
    after = computed - (link.given[-1][0] - began)  # clipping and the optimizer, mostly
    all_bytes = sum(size for _, size in link.given)
    return max(computed, free + after), computed + all_bytes / link.bytes_per_second


def worker(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=number, world_size=2)
    place, link = Path(folder), Link()
    config = read_config(place / "config.yaml")
    runs = {name: Run.start(config, RunFolder(place / "run"), torch.device("cpu")) for name in ("at once", "buckets")}
    for name, run in runs.items():
        mine = parameters_of(run)
        size = sum(p.nbytes for p in mine)
        run.gradients = AfterBackward(mine, [mine]) if name == "at once" else Gradients(mine, size // BUCKETS)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    backward = [statistics.mean([backward_seconds(run) for run in runs.values()])]
    dist.broadcast_object_list(backward, src=0)
    link.bytes_per_second = size / backward[0]
    with mock.patch.object(dist, "all_reduce", link.all_reduce):
        for _ in range(ROUNDS):  # in turn, so that what else the machine does hits both
            for name, run in runs.items():
                barrier()
                began = time.perf_counter()
                run.step()
                seconds[name].append(time.perf_counter() - began)
        ideal = without_waiting(runs["buckets"], link)
        runs["at once"].step()
    link.close()
    equal = all(torch.equal(*pair) for pair in zip(*(parameters_of(run) for run in runs.values()), strict=True))
    if rank() == 0:
        medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
        count = len(runs["buckets"].gradients._queue.flats)
        answers = {"backward": backward[0], "buckets": count, "equal": equal, "seconds": medians, "bytes": size}
        answers["ideal"] = ideal
        (place / "answers.json").write_text(json.dumps(answers))
    barrier()
    dist.destroy_process_group()
