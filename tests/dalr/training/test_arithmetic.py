"""Torch's settings are the process's: a run sets its own and puts them back, whatever happens in between."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import dalr.losses.objective
import dalr.training.trainer
from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig, TrainConfig
from dalr.errors import Failed, InputError
from dalr.losses.precision import exact
from dalr.training.arithmetic import WORKSPACE, arithmetic
from dalr.training.loop import train

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def state() -> dict[str, Any]:
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn attention": torch.backends.cuda.cudnn_sdp_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
    }


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The settings before a test; they are the same after it."""
    monkeypatch.setenv(WORKSPACE, "")
    monkeypatch.delenv(WORKSPACE)
    before = state()
    yield before
    assert state() == before


def settings(**train: Any) -> TrainConfig:
    return TrainConfig(steps=1, **train)


def test_a_run_has_its_settings_and_no_other_has_them(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchanged: dict[str, Any]
) -> None:
    """Two runs of one process, as a sweep's trials are: the first deterministic, the second not."""
    seen: list[dict[str, Any]] = []
    compute = dalr.training.trainer.compute_gradients

    def watched(*words: Any, **options: Any) -> Any:
        seen.append(state())
        return compute(*words, **options)

    monkeypatch.setattr(dalr.training.trainer, "compute_gradients", watched)
    for number, deterministic in enumerate((True, False)):
        config = with_overrides(small, {"train.deterministic": deterministic, "train.steps": 2})
        train(config, tmp_path / str(number), quiet=True)
    own = {"deterministic": True, "warn only": False, "fill": False, "benchmark": False, "cudnn attention": False}
    assert seen == [{**unchanged, **own}] * 2 + [unchanged] * 2


@pytest.mark.parametrize("error", [RuntimeError("kernel"), KeyboardInterrupt(), InputError("no")])
def test_the_settings_go_back_when_a_run_fails(error: BaseException) -> None:
    inside = []

    def run() -> None:
        with arithmetic(settings(deterministic=True, matmul="high"), GPU):
            inside.append(state())
            raise error

    with pytest.raises(type(error)):
        run()
    assert inside[0]["deterministic"]
    assert inside[0]["matmul"] == "high"


def test_an_operation_without_a_deterministic_kind_ends_the_run_in_one_line() -> None:
    with (
        pytest.raises(
            Failed, match=r"^train\.deterministic: put_ adds in no fixed order on this device; set it to false$"
        ),
        arithmetic(settings(deterministic=True), CPU),
    ):
        torch.zeros(2).put_(torch.tensor([0]), torch.tensor([1.0]))


def test_cublas_has_one_workspace_from_the_first_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuBLAS reads it once: it must not wait for the first run that wants it."""
    with arithmetic(settings(), CPU):
        assert os.environ[WORKSPACE] == ":4096:8"
    with arithmetic(settings(deterministic=True), CPU):
        pass
    monkeypatch.setenv(WORKSPACE, ":0:0")
    with arithmetic(settings(), CPU):
        assert os.environ[WORKSPACE] == ":0:0"
    with (
        pytest.raises(InputError, match=r"CUBLAS_WORKSPACE_CONFIG is :0:0; set it to :4096:8 or :16:8"),
        arithmetic(settings(deterministic=True), CPU),
    ):
        raise AssertionError


def test_matmul_is_a_setting_of_cuda_and_not_of_the_objective() -> None:
    with arithmetic(settings(matmul="high"), GPU):
        assert torch.get_float32_matmul_precision() == "high"
        with exact(GPU):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    with arithmetic(settings(matmul="high"), CPU):
        assert torch.get_float32_matmul_precision() == "highest"
    assert dalr.losses.objective.exact is exact


@pytest.mark.parametrize(
    ("precision", "gpu", "cpu"), [("auto", True, False), ("float32", False, False), ("bfloat16", True, True)]
)
def test_auto_is_bfloat16_on_a_gpu_alone(precision: Any, gpu: bool, cpu: bool) -> None:
    train = settings(precision=precision)
    assert (train.in_bfloat16(on_gpu=True), train.in_bfloat16(on_gpu=False)) == (gpu, cpu)
