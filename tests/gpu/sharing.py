"""One GPU and several users of it: after an out-of-memory error, by two processes, through NCCL, and compiled."""

import gc
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.gpu.report import Report
from tests.gpu.steps import CUDA, HEAD, measured, row, synchronise
from tests.gpu.world import DEVICE, World


def out_of_memory(report: Report, world: World) -> None:
    """A trial that does not fit, then one that does, in this process; the first one's memory comes back."""
    if not CUDA:
        report.say("out of memory: no CUDA")
        return
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    try:
        run = world.run("dalr", train__batch_size=16 * world.size.batch, train__precision="bfloat16")
        torch.cuda.empty_cache()
        # Room for the model alone.
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 1e6) / _total())
        told = ""
        try:
            run.step()
            run.read()
        except torch.cuda.OutOfMemoryError as error:
            told = str(error).split(".")[0]
        torch.cuda.set_per_process_memory_fraction(1.0)
        del run
        gc.collect()
        torch.cuda.empty_cache()
        report.expect(bool(told), f"too large a batch: {told or 'it fitted'}")
        left = torch.cuda.memory_allocated() - before
        report.expect(left < 64e6, f"{left / 1e6:.0f} MB of it are left afterwards (at most 64)")
        run = world.run("simcse", train__precision="bfloat16")
        run.step()
        _, failure = run.read()
        report.expect(failure is None, "a trial that fits runs after it in the same process")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def _total() -> int:
    return torch.cuda.get_device_properties(DEVICE).total_memory


def worker(world: World, seconds: float, go: Path) -> None:
    """One of the processes that share the GPU: trains from when `go` exists, and prints its rate."""
    run = world.run("dalr", train__precision="bfloat16")
    for _ in range(12):
        run.step()
    run.read()
    go.with_name(f"{go.name}.{time.monotonic_ns()}").touch()
    while not go.exists():
        time.sleep(0.01)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(10):
            run.step()
        run.read()
        done += 10
    rate = done * run.config.train.batch_size / (time.perf_counter() - began)
    print(json.dumps({"samples_per_second": rate}), flush=True)


def share(report: Report, world: World, options: list[str]) -> None:
    """Trials of one, two and four processes on the card, as `resources: {gpus: 0.25}` places them."""
    rates: dict[int, float] = {}
    for count in (1, 2, 4):
        go = world.folder / f"go-{count}-{time.monotonic_ns()}"
        command = [sys.executable, "-m", "tests.gpu", "--worker", str(go), *options]
        crew = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        try:
            while len(list(go.parent.glob(f"{go.name}.*"))) < count and all(w.poll() is None for w in crew):
                time.sleep(0.05)
            go.touch()
            answers = [json.loads(w.communicate(timeout=60)[0].strip().splitlines()[-1]) for w in crew]
        finally:
            for process in crew:
                process.kill()
        rates[count] = sum(answer["samples_per_second"] for answer in answers)
    for count in (2, 4):
        times = rates[count] / rates[1]
        text = f"1 process {rates[1]:.0f} samples/s, {count} processes {rates[count]:.0f} together, {times:.2f}x"
        report.expect(times > 0.8, text)
    report.note("share", **{f"processes_{count}": rate for count, rate in rates.items()})


def nccl(report: Report, world: World) -> None:
    """Our collectives through NCCL, one rank, called directly: what it cannot send it refuses."""
    import torch.distributed as dist

    from dalr import distributed

    backend = "nccl" if CUDA else "gloo"
    dist.init_process_group(backend, init_method="tcp://127.0.0.1:29613", rank=0, world_size=1)
    try:
        for dtype in (torch.float32, torch.bfloat16, torch.uint8):
            rows = torch.ones(4, 3, device=DEVICE, dtype=dtype)
            gathered = distributed._all_gather(rows, [4])
            report.expect(bool((gathered == rows).all()), f"{backend} gathers {dtype}")
        leaf = torch.ones(4, 3, device=DEVICE, requires_grad=True)
        distributed._GatherRows.apply(leaf, [4]).sum().backward()
        report.expect(bool((leaf.grad == 1).all()), f"{backend} sends gradients back")
        answer = distributed._all_reduced(7, dist.ReduceOp.MIN)
        report.expect(answer == 7, "control traffic goes over gloo")
        synchronise()
    finally:
        dist.destroy_process_group()


def compiled(report: Report, world: World) -> None:
    """train.compile: what the first step costs, what a later one gains, and how many graphs there are."""
    from torch._dynamo.utils import counters

    report.say(HEAD)
    run = world.run("simcse", train__compile=True, train__precision="bfloat16")
    began = time.perf_counter()
    run.step()
    run.read()
    synchronise()
    first = time.perf_counter() - began
    report.say(f"     compiled: first step {first:.1f} s")
    report.note("compile", first_step=first)
    m = measured(world, run, warm=4, steps=8)
    graphs = counters["stats"].get("unique_graphs")
    report.say(row("simcse bf16 compiled", m) + f"  graphs {graphs}, breaks {dict(counters['graph_break'])}")
    report.note("compile", first_step=first, graphs=graphs, **m)
