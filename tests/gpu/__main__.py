"""python -m tests.gpu [CHECK...] [--out DIR] [--seconds N] [--tiny]

All checks but `ray`, the most telling first, within N seconds. `ray` needs an installation of dalr, and is run by
name. Ends with 1 where something does not hold.
"""

import argparse
import contextlib
import gc
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import transformers

from tests.gpu import commands, correct, sharing, steps
from tests.gpu.report import Report, Skipped
from tests.gpu.world import BASE, DEVICE, TINY, World


def environment(report: Report, world: World) -> None:
    """Versions, the card, and what the card can do at best."""
    versions = {
        "code": _output("git", "describe", "--always", "--dirty").strip(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
        "compiler": _output("cc", "--version").partition("\n")[0],
        "card": torch.cuda.get_device_name() if DEVICE.type == "cuda" else "none",
        "driver": _output("nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader").strip(),
    }
    report.say(", ".join(f"{name} {value}" for name, value in versions.items()))
    report.note("environment", **versions)
    world.prepare()
    steps.ceilings(report)


def _output(*command: str) -> str:
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    return "none"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"))
    parser.add_argument("--seconds", type=float, default=450.0, help="of all checks together")
    parser.add_argument("--tiny", action="store_true", help="a tiny model: does everything run? Times mean nothing")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    world = World(TINY if args.tiny else BASE)
    if args.worker is not None:
        sharing.worker(world, 1.0 if args.tiny else 5.0, args.worker)
        return 0
    options = ["--tiny"] if args.tiny else []
    checks: dict[str, tuple[Callable[[Report, World], None], float]] = {
        "environment": (environment, 45),
        "doctor": (commands.doctor, 30),
        "waits": (steps.waits, 40),
        "steps": (steps.steps, 170),
        "terms": (correct.terms, 45),
        "attention": (correct.attention, 20),
        "replay": (correct.replay, 20),
        "resume": (correct.resume, 60),
        "out_of_memory": (sharing.out_of_memory, 30),
        "evaluation": (correct.evaluation, 40),
        "nccl": (sharing.nccl, 20),
        "train": (commands.train, 130),
        "compile": (sharing.compiled, 100),
        "share": (partial(sharing.share, options=options), 95),
        "ray": (commands.on_ray, 300),
    }
    unknown = set(args.checks) - set(checks)
    if unknown:
        parser.error(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(checks)}")
    report = Report(args.out, args.seconds)
    for name in args.checks or [name for name in checks if name != "ray"]:
        check, most = checks[name]
        with contextlib.suppress(Skipped), report.check(name, most):
            check(report, world)
        gc.collect()
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()
    report.say(f"{len(report.failed)} failed" + "".join(f"\n  {text}" for text in report.failed))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
