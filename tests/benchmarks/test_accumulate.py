"""A batch of 1,024 pairs in one pass and in two (`train.accumulate`): one loss, one gradient, other memory.

All terms of `dalr` on the small encoder's first 2 layers, 24 tokens, real captions, without dropout, whose
draws would differ. Memory is what torch's operations make beside weights and batch; see
`tests/tensor_memory.py`. Run with `make benchmarks`.
"""

import statistics
import time
from pathlib import Path

import pytest
import torch

from dalr.config.overrides import with_overrides
from dalr.data.features.prepare import prepare_features
from dalr.losses.objective import LossTerms
from dalr.training.grad_cache import compute_gradients, seed_step
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.benchmarks.test_cached_teachers import config_of
from tests.tensor_memory import TensorMemory

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

BATCH, ROUNDS = 1024, 3
PARTS = (1, 8, 16, 32)
MIB = 2**20


def test_a_large_batch_in_parts(real_data: Path, tmp_path: Path) -> None:
    small = config_of(real_data, tmp_path, 1)
    lines = (real_data / "flickr8k" / "captions.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    # An image has five captions in a row, and a batch has an image once.
    (tmp_path / "captions.csv").write_text("".join([lines[0], *lines[1::5][:BATCH]]), encoding="utf-8")
    config = with_overrides(small, {"train.batch_size": BATCH, "model.dropout": 0.0})
    prepare_features(config, quiet=True)
    run = Run.start(config, RunFolder(tmp_path), torch.device("cpu"))
    run.student.train()
    run.objective.train()
    batch = run.prepared_batch(0)
    assert len(batch) == BATCH

    def gradients(parts: int) -> tuple[LossTerms, dict[str, torch.Tensor]]:
        terms = compute_gradients(
            run.student,
            run.objective,
            batch,
            run.gradients,
            parts=parts,
            groups=1,
            seed=lambda part: seed_step(0, 0, part),
            autocast=run.autocast,
        )
        modules = torch.nn.ModuleDict({"student": run.student, "objective": run.objective})
        return terms, {name: p.grad.clone() for name, p in modules.named_parameters() if p.grad is not None}

    seconds: dict[int, list[float]] = {parts: [] for parts in PARTS}
    for _ in range(ROUNDS):  # interleaved, so that the machine's moods hit all
        for parts in PARTS:
            began = time.perf_counter()
            gradients(parts)
            seconds[parts].append(time.perf_counter() - began)
    peaks = {}
    for parts in PARTS:
        run.optimizer.zero_grad(set_to_none=True)
        with TensorMemory() as memory:
            found = gradients(parts)
        peaks[parts] = memory.peak
        if parts == 1:
            plain = found
        loss, distance = _differences(plain, found)
        time_ratio = statistics.median(seconds[parts]) / statistics.median(seconds[1])
        print(
            f"\n{parts} parts: {memory.peak / MIB:.0f} MiB, {peaks[1] / memory.peak:.1f}x less, "
            f"{time_ratio:.2f}x the time, loss differs by {loss:.1e}, gradient by {distance:.1e}",
            end="",
        )
        assert loss <= 1e-4
        assert distance <= 1e-4
    print()
    assert min(peaks.values()) <= peaks[1] / 4


def _differences(
    one: tuple[LossTerms, dict[str, torch.Tensor]], other: tuple[LossTerms, dict[str, torch.Tensor]]
) -> tuple[float, float]:
    """The relative difference of the losses, and the norm of the gradients' difference over their norm."""
    loss = abs(other[0].total.item() / one[0].total.item() - 1)
    assert one[1].keys() == other[1].keys()
    apart = sum((one[1][name] - other[1][name]).square().sum().item() for name in one[1])
    whole = sum(gradient.square().sum().item() for gradient in one[1].values())
    return loss, (apart / whole) ** 0.5
