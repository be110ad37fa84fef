"""The command `dalr doctor`: what this machine has, what it lacks, and what a command here would use."""

import os
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

PACKAGES = ("torch", "transformers", "sentence-transformers", "open_clip_torch", "ray", "optuna", "polars", "pydantic")


def doctor(
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what is missing.")] = False,
) -> None:
    """Show versions, processors and GPUs, the Ray cluster, the data found and missing, and disk space.

    Starts nothing and connects to nothing. Exit code 0: what is missing may not be needed.

    Example: dalr doctor
    """
    for title, lines in (
        ("versions", _versions()),
        ("machine", _machine()),
        ("Ray", _ray()),
        ("data", _data()),
        ("disk", _disk()),
    ):
        wanted = [line for line in lines if not quiet or "missing" in line]
        if wanted:
            typer.echo(title)
            for line in wanted:
                typer.echo(f"  {line}")


def _versions() -> Iterator[str]:
    import platform

    from dalr.provenance import code_version

    yield f"dalr {code_version()}, Python {platform.python_version()}"
    for name in PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name}: missing"


def _machine() -> Iterator[str]:
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"{len(os.sched_getaffinity(0))} CPUs for this process, {memory:.0f} GiB of memory"
    threads = os.environ.get("OMP_NUM_THREADS")
    yield f"OMP_NUM_THREADS {threads}" if threads else "OMP_NUM_THREADS is not set: torch takes every core"
    count = torch.cuda.device_count()
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        yield f"GPU {index}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    yield f"commands here compute on {'the GPU' if count else 'the CPU: there is no GPU that torch can use'}"


def _ray() -> Iterator[str]:
    for variable, meaning in (
        ("RAY_ADDRESS", "train, sweep, features and evaluate join it"),
        ("RAY_API_SERVER_ADDRESS", "submit sends jobs there"),
    ):
        value = os.environ.get(variable)
        yield f"{variable} {value}: {meaning}" if value else f"{variable} is not set"
    if not os.environ.get("RAY_ADDRESS"):
        yield "commands start a Ray of their own on this machine"


def _data() -> Iterator[str]:
    from dalr.config.recipes import FETCHED
    from dalr.config.schema import default_root

    root = default_root()
    source = "DALR_DATA" if os.environ.get("DALR_DATA") else "the default; set DALR_DATA or data.root for another"
    yield f"data.root {root} ({source})"
    for path, name in FETCHED.items():
        there = (root / path).exists()
        yield f"{name}: {'found' if there else f'missing; dalr data fetch {name} --out {root}'}"
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    yield (
        "models come from the local cache alone (HF_HUB_OFFLINE)"
        if offline
        else "models come from the Hugging Face Hub"
    )


def _disk() -> Iterator[str]:
    from dalr.config.schema import cache_folder, default_root

    places = {"here": Path.cwd(), "data": default_root(), "cache (DALR_CACHE)": cache_folder()}
    for name, path in places.items():
        parent = next(folder for folder in (path, *path.parents) if folder.exists())
        writable = "" if os.access(parent, os.W_OK) else ", not writable"
        yield f"{name}: {shutil.disk_usage(parent).free / 2**30:.1f} GiB free at {path}{writable}"
