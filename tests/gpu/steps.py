"""How long a step takes, how busy the GPU is, and where the host waits for it."""

import collections
import time
import warnings
from pathlib import Path

import torch

from dalr.training.arithmetic import arithmetic
from dalr.training.trainer import Run
from tests.gpu.report import Report
from tests.gpu.world import DEVICE, World

PEAK = 989e12
"""Dense bfloat16 FLOP/s of an H100 SXM, by its datasheet."""
CUDA = DEVICE.type == "cuda"
HEAD = (
    f"{'variant':<44}{'first':>8}{'ms':>8}{'smp/s':>8}{'tok/s':>9}{'busy':>7}{'util':>6}{'kernels':>8}{'GiB':>6}{'MFU':>6}"
    f"{'launch':>8}"
)


def synchronise() -> None:
    if CUDA:
        torch.cuda.synchronize()


def seconds_of(work: object, times: int = 20) -> float:
    """The mean time of a call, after three."""
    assert callable(work)
    for _ in range(3):
        work()
    synchronise()
    began = time.perf_counter()
    for _ in range(times):
        work()
    synchronise()
    return (time.perf_counter() - began) / times


def launch_us() -> float:
    """What the smallest kernel costs the host, now."""
    tiny = torch.zeros(8, device=DEVICE)
    return seconds_of(lambda: tiny.add_(1), 1000) * 1e6


def ceilings(report: Report) -> None:
    """What this card and this host can do at best."""
    numbers: dict[str, float] = {}
    for name, dtype, precision in (
        ("bf16", torch.bfloat16, "highest"),
        ("float32", torch.float32, "highest"),
        ("tf32", torch.float32, "high"),
    ):
        torch.set_float32_matmul_precision(precision)
        n = 4096 if CUDA else 64
        a, b = (torch.randn(n, n, device=DEVICE, dtype=dtype) for _ in range(2))
        numbers[f"{name}_TFLOPs"] = 2 * n**3 / seconds_of(lambda a=a, b=b: a @ b) / 1e12
    torch.set_float32_matmul_precision("highest")
    big = torch.empty(2**30 if CUDA else 2**20, device=DEVICE, dtype=torch.uint8)
    other = torch.empty_like(big)
    numbers["copy_TBs"] = 2 * big.numel() / seconds_of(lambda: other.copy_(big)) / 1e12
    numbers["launch_us"] = launch_us()
    report.say("ceilings: " + ", ".join(f"{name} {value:.3g}" for name, value in numbers.items()))
    report.note("ceilings", **numbers)


def measured(world: World, run: Run, *, warm: int, steps: int) -> dict[str, float]:
    """Wall and busy milliseconds of a step, kernels, memory; read once, at the end, as training does. `first_ms` is
    the same steps' time when their shapes were new to the process."""
    size = run.config.train.batch_size
    for _ in range(warm):
        run.step()
    run.read()
    here = run.progress

    def once() -> float:
        run.progress = here
        synchronise()
        began = time.perf_counter()
        for _ in range(steps):
            run.step()
        lines, failure = run.read()
        if failure is not None:
            raise failure
        peaks.append(max(line.metrics.get("gpu_memory_bytes", 0) for line in lines))
        return (time.perf_counter() - began) / steps * 1e3

    peaks: list[float] = []
    first, ms = once(), once()
    run.progress = here
    busy, kernels = busy_ms(run, 2)
    batches = [run.batches.batch(step) for step in range(4)]
    tokens = 2 * sum(sum(batch.lengths) for batch in batches) / len(batches)
    flops = 6 * world.size.parameters * tokens / ms * 1e3
    return {
        "first_ms": first,
        "ms": ms,
        "samples_per_second": size / ms * 1e3,
        "tokens_per_second": tokens / ms * 1e3,
        "busy_ms": busy,
        "utilisation": busy / ms,
        "kernels": kernels,
        "peak_GiB": max(peaks) / 2**30,
        "useful_TFLOPs": flops / 1e12,
        "mfu": flops / PEAK,
        "launch_us": launch_us(),
    }


def busy_ms(run: Run, steps: int) -> tuple[float, float]:
    """Milliseconds in which the GPU worked, and kernels, of a step."""
    if not CUDA:
        for _ in range(steps):
            run.step()
        run.read()
        return 0.0, 0.0
    from torch.profiler import ProfilerActivity, profile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            for _ in range(steps):
                run.step()
            synchronise()
        # Straight from kineto: events() builds a tree in Python, 10 s for 50,000 kernels. Annotations span kernels
        # that are counted already.
        durations = [
            event.duration_ns() / 1e6
            for event in profiler.profiler.kineto_results.events()
            if "CUDA" in str(event.device_type()) and not event.name().startswith(("Optimizer.", "ProfilerStep"))
        ]
    run.read()
    return sum(durations) / steps, len(durations) / steps


def row(name: str, m: dict[str, float]) -> str:
    return (
        f"{name:<44}{m['first_ms']:>8.1f}{m['ms']:>8.1f}{m['samples_per_second']:>8.0f}{m['tokens_per_second']:>9.0f}"
        f"{m['busy_ms']:>7.1f}{m['utilisation']:>6.0%}{m['kernels']:>8.0f}{m['peak_GiB']:>6.1f}{m['mfu']:>6.1%}"
        f"{m['launch_us']:>8.1f}"
    )


def waits(report: Report, world: World) -> None:
    """The calls of a step that synchronise, by set_sync_debug_mode: none, and those of a read."""
    run = world.run("dalr", train__precision="bfloat16", train__eval_every=1000)
    for _ in range(4):
        run.step()
    run.read()
    if not CUDA:
        report.say("waits: no CUDA")
        return
    for what, work in (("20 steps", lambda: [run.step() for _ in range(20)]), ("one read", run.read)):
        synchronise()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                work()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        places = collections.Counter(
            f"{'/'.join(Path(w.filename).parts[-3:])}:{w.lineno}"
            for w in told
            if "called a synchronizing" in str(w.message)
        )
        most = 0 if what == "20 steps" else 1
        report.expect(places.total() <= most, f"{what} make {places.total()} synchronising calls (at most {most})")
        for place, count in places.most_common(12):
            report.say(f"       {count} {place}")
        report.note("waits", what=what, places=dict(places))


VARIANTS: list[tuple[str, str, dict[str, object], int]] = [
    ("simcse", "bf16 groups=auto", {}, 10),
    ("simcse", "bf16 groups=4", {"length_groups": 4}, 10),
    ("simcse", "bf16 packed", {"length_groups": "packed"}, 10),
    ("simcse", "float32 groups=auto", {"precision": "float32"}, 6),
    ("simcse", "TF32 groups=auto", {"precision": "float32", "matmul": "high"}, 6),
    ("dalr", "bf16 groups=auto, no cuDNN attention", {}, 10),
    *(
        (
            "dalr",
            f"bf16 groups={groups} accumulate={parts}",
            {"batch": batch, "length_groups": groups, "accumulate": parts},
            3,
        )
        for groups, parts in ((1, 1), ("packed", 1), (1, 4), (4, 1), (4, 4))
        for batch in (1, 4, 16)
    ),
]
"""A recipe, what differs, the settings (`batch`: times the size's), and the steps measured."""


def steps(report: Report, world: World) -> None:
    """The table of `docs/scale.md`."""
    report.say(HEAD)
    run: Run | None = None
    recipe_now = ""
    for recipe, name, settings, count in VARIANTS:
        if report.left < 20:
            report.say(f"     left out, no time: {recipe} {name}")
            continue
        if recipe != recipe_now or run is None:
            run = None
            run, recipe_now = world.run(recipe), recipe
        train: dict[str, object] = {"precision": "bfloat16", "length_groups": "auto", "accumulate": 1, **settings}
        train["batch_size"] = world.size.batch * int(str(train.pop("batch", 1)))
        run = world.change(run, **{"matmul": "highest", **train})
        torch.backends.cuda.enable_cudnn_sdp("no cuDNN" not in name)
        try:
            with arithmetic(run.config.train, DEVICE):
                m = measured(world, run, warm=3 if count > 3 else 2, steps=count)
        finally:
            torch.backends.cuda.enable_cudnn_sdp(True)
        expected = world.expected_memory(run.config) / 2**30
        label = f"{recipe} {name} b={train['batch_size']}"
        report.say(row(label, m))
        report.expect(m["peak_GiB"] <= expected, f"memory: {m['peak_GiB']:.1f} GiB of the {expected:.1f} expected")
        report.note("steps", recipe=recipe, variant=name, expected_GiB=expected, **train, **m)
        if CUDA:
            torch.cuda.empty_cache()
