"""What made a number: the code's version, the packages', the machine."""

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from dalr.extras import version as dalr_version

PACKAGES = ("torch", "transformers", "numpy", "scipy", "ray", "optuna", "open_clip_torch", "polars", "mteb")


@cache
def code_version() -> str:
    """The distribution's version and, where the code lies in a git checkout of its own, its commit:
    `0.1.0+g2907660`, with `.dirty` behind it if tracked files differ from that commit."""
    version = dalr_version()
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        # A job's package has no git history; `dalr submit` says which commit it was made from.
        commit = os.environ.get("DALR_COMMIT")
        return f"{version}+g{commit}" if commit else version
    try:
        commit = _git(root, "rev-parse", "--short", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return version  # no git on this machine, or a checkout of another user's
    return f"{version}+g{commit}{'.dirty' if dirty else ''}"


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def package_versions() -> dict[str, str]:
    """The versions of Python and of the packages that can move a number, those installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def machine() -> str:
    """The machine in a few words: processor, cores, GPU count and name where CUDA is there."""
    import torch

    words = f"{platform.machine()}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        words += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return words
