"""Sentences encoded in groups of like length, or packed, against batches padded to one length, on real captions.

The configuration of docs/real-run.md with the objective of SimCSE, so that the encoder is what is
measured; every variant sees the same sentences. Run with `make benchmarks`.
"""

import statistics
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import pad

from dalr.config.overrides import with_overrides
from dalr.data.batches import TextBatch
from dalr.data.features.prepare import prepare_features
from dalr.model.student import Groups
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.benchmarks.test_cached_teachers import config_of

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

ROUNDS = 12
VARIANTS = ("fixed length", "longest of the batch", "2 groups", "4 groups", "8 groups", "packed")


class _FixedLength(Run):
    """The same run, but every batch is padded to `model.max_tokens`."""

    def prepared_batch(self, step: int) -> TextBatch:
        batch = super().prepared_batch(step)
        missing = (0, self.config.model.max_tokens - batch.input_ids.shape[1])
        return replace(
            batch, input_ids=pad(batch.input_ids, missing), attention_mask=pad(batch.attention_mask, missing)
        )


def test_samples_a_second(real_data: Path, tmp_path: Path) -> None:
    plain = config_of(real_data, tmp_path, 1)
    config = with_overrides(
        plain, {"objective.cross_modal": 0, "objective.intra_modal": 0, "model.max_tokens": 32, "train.batch_size": 64}
    )
    prepare_features(config, quiet=True)
    runs = {}
    for name in VARIANTS:
        groups: Groups = int(name.split()[0]) if name.endswith("groups") else 1
        groups = "packed" if name == "packed" else groups
        kind = _FixedLength if name == "fixed length" else Run
        grouped = with_overrides(config, {"train.length_groups": groups})
        runs[name] = kind.start(grouped, RunFolder(tmp_path), torch.device("cpu"))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):  # interleaved, so that the machine's moods hit all
        for name, run in runs.items():
            run.step()
            seconds[name].append(run.read()[0][0].metrics["seconds"])
    rates = {name: config.train.batch_size / statistics.median(values) for name, values in seconds.items()}
    for name, rate in rates.items():
        print(f"\n{name}: {rate:.1f} samples/s, {rate / rates['fixed length']:.2f}x", end="")
    print()
    assert rates["4 groups"] > rates["fixed length"]
