"""Batches are built in a thread while the step before them runs; nobody but the clock can tell."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import dalr.training.trainer
from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.data.batches import PairedBatch, TextBatch
from dalr.data.features.prepare import prepare_features
from dalr.data.mixing import MixedBatches
from dalr.errors import InputError
from dalr.training.loader import AHEAD, BatchLoader
from dalr.training.loop import train
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.dalr.training.objectives import config_for

CPU = torch.device("cpu")
PATIENCE = 60.0


def batches_of(config: RunConfig, change: Callable[[int], None]) -> MixedBatches:
    """The run's batches; `change` is called when one is built, with its step."""

    class Watched(MixedBatches):
        def batch(self, step: int) -> TextBatch | PairedBatch:
            change(step)
            return super().batch(step)

    return Watched(config, prepare_features(config, quiet=True))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_the_next_batch_is_built_while_the_gradient_is_computed(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step k ends only when batch k + 1 is there: it would never end if that were built between the steps."""
    built = [threading.Event() for _ in range(small.train.steps or 0)]
    plain, compute = MixedBatches.batch, dalr.training.trainer.compute_gradients

    def batch(batches: MixedBatches, step: int) -> Any:
        try:
            return plain(batches, step)
        finally:
            built[step].set()

    def waiting(*words: Any, **options: Any) -> Any:
        following = run.progress.step + 1
        assert following == len(built) or built[following].wait(PATIENCE)
        return compute(*words, **options)

    monkeypatch.setattr(MixedBatches, "batch", batch)
    monkeypatch.setattr(dalr.training.trainer, "compute_gradients", waiting)
    run = Run.start(small, RunFolder(tmp_path), CPU)
    for _ in built:
        run.step()
    run.close()
    assert run.progress.step == len(built)


@pytest.mark.parametrize("steps", [range(8), [3, 4, 4, 1, 7, 0]])
def test_any_order_of_steps_gives_the_batches_of_the_steps(steps: Any, small: RunConfig) -> None:
    asked: list[int] = []
    batches = batches_of(small, asked.append)
    loader = BatchLoader(batches, None, CPU)
    for step in steps:
        batch, expected = loader.get(step).batch, MixedBatches.batch(batches, step)
        assert torch.equal(batch.rows, expected.rows)
        assert torch.equal(batch.input_ids, expected.input_ids)
        assert type(batch) is type(expected)
    loader.close()
    assert max(asked) < batches.total_steps


def test_batches_are_not_built_further_ahead_than_they_may(small: RunConfig) -> None:
    built = [threading.Event() for _ in range(8)]
    loader = BatchLoader(batches_of(small, lambda step: built[step].set()), None, CPU)
    loader.get(0)
    assert built[AHEAD].wait(PATIENCE)
    loader.close()
    assert not any(event.is_set() for event in built[AHEAD + 1 :])


def test_what_a_batch_is_refused_for_is_raised_by_the_step_that_needs_it(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = MixedBatches.batch

    def damaged(batches: MixedBatches, step: int) -> Any:
        if step == 2:
            raise InputError("captions.csv: line 7 is gone")
        return plain(batches, step)

    monkeypatch.setattr(MixedBatches, "batch", damaged)
    with pytest.raises(InputError, match=r"^captions\.csv: line 7 is gone$"):
        train(small, tmp_path / "run", quiet=True)
    assert threads() == []
    log = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(log) == 2


def test_no_thread_outlives_its_run(small: RunConfig, tmp_path: Path) -> None:
    config = with_overrides(small, {"train.steps": 2, "train.eval_every": 2})
    train(config, tmp_path / "run", quiet=True)
    assert threads() == []


def test_stored_token_states_are_read_by_the_thread(corpora: Path, tiny_bert: Path, tmp_path: Path) -> None:
    config = config_for("everything", corpora, tiny_bert, train__batch_size=7, data__store=str(tmp_path / "features"))
    prepare_features(config, cache_tokens=True, quiet=True)
    run = Run.start(config, RunFolder(tmp_path), CPU)
    states = run.features.token_states
    assert states is not None
    for step in range(3):
        tokens = run.loader.get(step).tokens
        assert tokens is not None
        expected = states(run.batches.batch(step))
        assert torch.equal(run.prepared_batch(step).teachers.tokens, expected[0])
        assert torch.equal(states.states(tokens, CPU)[0], expected[0])
        assert tokens.stored is not None
    run.close()
