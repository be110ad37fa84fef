"""A run of 8 steps with dropout, evaluated and saved every 3, and what comes of it undisturbed."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dalr.config.overrides import to_yaml
from dalr.config.schema import RunConfig
from dalr.files import write_text
from dalr.training.loop import train
from tests.small_run import small_config, write_corpora


@dataclass(frozen=True)
class Plan:
    """A run's config, its command line without `--out`, and an undisturbed run of it."""

    config: RunConfig
    words: tuple[str, ...]
    undisturbed: Path


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Plan:
    folder = tmp_path_factory.mktemp("plan")
    write_corpora(folder, np.random.default_rng(0))
    config = small_config(folder, tiny_bert, model__dropout=0.1)
    train(config, folder / "undisturbed", recipe=str(folder / "run.yaml"), quiet=True)
    write_text(folder / "run.yaml", to_yaml(config))
    return Plan(config, ("train", str(folder / "run.yaml"), "--local", "--quiet"), folder / "undisturbed")


@pytest.fixture
def fresh_store(plan: Plan, tmp_path: Path) -> tuple[str, Path]:
    """The word that gives the run an empty feature store, and the store."""
    return f"data.store={tmp_path / 'store'}", tmp_path / "store"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB of its own; skips where the user may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True).returncode != 0:
        pytest.skip("a small disk needs the right to mount: run as root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
