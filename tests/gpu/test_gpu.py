"""The checks of `make gpu-check` that have an answer, one test each, on a tiny model."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.gpu import commands, correct, sharing, steps
from tests.gpu.report import Report
from tests.gpu.world import TINY, World

pytestmark = pytest.mark.gpu
CHECKS = (
    steps.waits,
    correct.terms,
    correct.attention,
    correct.replay,
    correct.resume,
    correct.evaluation,
    sharing.out_of_memory,
    sharing.nccl,
    commands.train,
    commands.on_ray,
)


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA")
    monkeypatch.setenv("DALR_GPU_CHECK", str(tmp_path))
    prepared = World(TINY)
    prepared.prepare()
    yield prepared
    torch.cuda.empty_cache()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds(check: Callable[[Report, World], None], world: World, tmp_path: Path) -> None:
    report = Report(tmp_path / "out", seconds=300)
    check(report, world)
    assert report.failed == []
