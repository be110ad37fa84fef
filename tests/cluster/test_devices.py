"""A worker's device: what it asked for, no more and no less. CUDA is a stand-in."""

import os
from types import SimpleNamespace

import pytest
import torch

from dalr.cluster.devices import claim_device
from dalr.cluster.preflight.cards import GIB
from dalr.cluster.preflight.memory import CUDA_CONTEXT
from dalr.cluster.train import Workers, _environment
from dalr.errors import Failed


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


def test_without_a_gpu_cuda_is_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "init", lambda: pytest.fail("a context was opened"))
    assert claim_device(0).type == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert _environment(Workers(2, gpus=0))["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in _environment(Workers(2, gpus=1))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The NVIDIA driver on your system is too old\n(found 11040)"),
        AssertionError("Torch not compiled with CUDA enabled"),
    ],
)
def test_a_gpu_that_does_not_start_is_no_cpu(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(Failed, match=r"CUDA does not start here: (The NVIDIA driver|Torch not compiled)") as caught:
        claim_device(1)
    assert "\n" not in str(caught.value)


def test_a_part_of_a_gpu_is_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    caps: list[tuple[float, torch.device]] = []
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *words: caps.append(words))
    assert claim_device(1) == torch.device("cuda", 0)
    assert claim_device(2, lambda: torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert not caps
    card = SimpleNamespace(total_memory=80 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    for share in (0.5, 0.25, 0.1):
        caps.clear()
        assert claim_device(share) == torch.device("cuda", 0)
        [(cap, device)] = caps
        assert device == torch.device("cuda", 0)
        assert cap * card.total_memory + CUDA_CONTEXT == pytest.approx(share * card.total_memory)
    assert claim_device(0.001) == torch.device("cuda", 0)
    assert caps[-1][0] > 0
