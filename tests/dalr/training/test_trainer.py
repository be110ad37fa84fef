"""What a step says of itself, apart from its numbers: memory."""

from pathlib import Path

import pytest
import torch

from dalr.config.schema import RunConfig
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run, peak_memory


def test_on_the_cpu_a_step_has_no_gpu_memory(small: RunConfig, tmp_path: Path) -> None:
    run = Run.start(small, RunFolder(tmp_path), torch.device("cpu"))
    run.step()
    metrics = run.read()[0][0].metrics
    assert "gpu_memory_bytes" not in metrics
    assert {"loss", "grad_norm", "seconds", "samples_per_second", "learning_rate", "paired"} <= metrics.keys()


def test_the_peak_is_read_and_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for CUDA's counter, which a machine without a GPU lacks."""
    peaks = {torch.device("cuda", 0): 700, torch.device("cuda", 1): 300}
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", peaks.__getitem__)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peaks.update({device: 5}))
    second = torch.device("cuda", 1)
    assert peak_memory(second) == {"gpu_memory_bytes": 300}
    assert peak_memory(second) == {"gpu_memory_bytes": 5}
    assert peak_memory(torch.device("cuda", 0)) == {"gpu_memory_bytes": 700}
    assert peak_memory(torch.device("cpu")) == {}


@pytest.mark.gpu
def test_a_tensor_that_came_and_went_counts() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    peak_memory(device)
    before = torch.cuda.memory_allocated(device)
    passing = torch.zeros(2**20, device=device)
    del passing
    assert peak_memory(device)["gpu_memory_bytes"] >= before + 2**22
    assert peak_memory(device)["gpu_memory_bytes"] < before + 2**22
