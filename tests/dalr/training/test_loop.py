"""A run: its folder, exact resuming, stopping, divergence, export, and the two-pass gradient."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import dalr.training.loop
import dalr.training.trainer
from dalr.config.loading import read_config
from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.data.rows import IndexedRows
from dalr.errors import InputError
from dalr.training.checkpoint_files import steps_saved
from dalr.training.loop import Callback, Diverged, StopTraining, train
from tests.small_run import small_config

pytestmark = pytest.mark.medium


class StopAfter(Callback):
    """Asks to stop after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        if step == self.step:
            raise StopTraining("far enough")


class DieAfter(Callback):
    """Raises what nobody expects, as a kill would, with no chance to save."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        if step == self.step:
            raise RuntimeError("killed")


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in lines(out)]


def weights(out: Path, step: int) -> dict[str, torch.Tensor]:
    folder = out / "checkpoints" / f"step-{step:06d}"
    return {**load_file(folder / "student.safetensors"), **load_file(folder / "objective.safetensors")}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def with_dropout(small: RunConfig) -> RunConfig:
    """Dropout on, so that resuming must restore the random draws too."""
    return with_overrides(small, {"model.dropout": 0.1})


@pytest.fixture(scope="module")
def whole(corpora: Path, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run, which nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    train(small_config(corpora, tiny_bert, model__dropout=0.1), out, quiet=True)
    return out


def test_a_run_writes_its_folder(small: RunConfig, tmp_path: Path) -> None:
    outcome = train(small, tmp_path, recipe="dalr", quiet=True)
    assert (outcome.steps, outcome.finished) == (8, True)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 9))
    assert {line["step"] for line in lines(tmp_path) if "STSBenchmark.dev" in line} == {3, 6, 8}
    assert [line["paired"] for line in lines(tmp_path)] == [1, 0, 1, 0, 1, 0, 1, 0]
    assert "term/local_global" in lines(tmp_path)[0]
    assert "term/rank" not in lines(tmp_path)[1]
    notes = json.loads((tmp_path / "provenance.json").read_text())
    assert notes["attempts"] == [{"start_step": 0, "end_step": 8}]
    assert (notes["recipe"], notes["seed"]) == ("dalr", 1)
    assert read_config(tmp_path / "config.yaml") == small
    assert set(steps_saved(tmp_path / "checkpoints")) == {outcome.best_step, 8}
    scores = [line["STSBenchmark.dev"] for line in lines(tmp_path) if "STSBenchmark.dev" in line]
    assert outcome.best_score == max(scores)


def test_a_process_prepares_its_features_once(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    plain = dalr.training.loop.prepare_features

    def counted(*words: Any, **options: Any) -> Any:
        calls.append(options)
        return plain(*words, **options)

    for module in (dalr.training.loop, dalr.training.trainer):
        monkeypatch.setattr(module, "prepare_features", counted)
    train(with_overrides(small, {"train.steps": 1}), tmp_path, quiet=True)
    assert len(calls) == 1


@pytest.mark.parametrize("step", [2, 3, 5, 8])
def test_a_killed_run_resumes_bit_for_bit(step: int, with_dropout: RunConfig, whole: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with pytest.raises(RuntimeError, match="killed"):
        train(with_dropout, broken, callbacks=[DieAfter(step)], quiet=True)
    outcome = train(with_dropout, broken, quiet=True)
    assert outcome.finished
    assert losses(broken) == losses(whole)
    assert [line["step"] for line in lines(broken)] == list(range(1, 9))
    assert same(weights(broken, 8), weights(whole, 8))


def test_a_reporter_stops_the_run_with_a_checkpoint(small: RunConfig, tmp_path: Path) -> None:
    outcome = train(small, tmp_path, callbacks=[StopAfter(4)], quiet=True)
    assert (outcome.steps, outcome.finished, outcome.reason) == (4, False, "far enough")
    assert not (tmp_path / "model").exists()
    assert train(small, tmp_path, quiet=True).finished
    attempts = json.loads((tmp_path / "provenance.json").read_text())["attempts"]
    assert attempts == [{"start_step": 0, "end_step": 4}, {"start_step": 4, "end_step": 8}]


class Terminate(Callback):
    """Sends this process SIGTERM, as a cluster that wants its machine back does."""

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_saves_and_leaves(small: RunConfig, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)  # Ray leaves its own where it has run in this process
    outcome = train(small, tmp_path, callbacks=[Terminate()], quiet=True)
    assert (outcome.steps, outcome.reason) == (2, "SIGTERM")
    assert steps_saved(tmp_path / "checkpoints") == [2]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_finished_run_is_left_as_it_is(small: RunConfig, tmp_path: Path) -> None:
    first = train(small, tmp_path, quiet=True)
    before = (tmp_path / "metrics.jsonl").read_text()
    again = train(small, tmp_path, quiet=True)
    assert (again.steps, again.best_score, again.finished) == (first.steps, first.best_score, True)
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_another_config_is_refused_naming_the_key(small: RunConfig, tmp_path: Path) -> None:
    train(with_overrides(small, {"train.steps": 1}), tmp_path, quiet=True)
    other = with_overrides(small, {"train.steps": 1, "objective.temperature": 0.07})
    with pytest.raises(InputError, match=r"objective\.temperature was 0\.05, is 0\.07"):
        train(other, tmp_path, quiet=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IndexedRows, "rows", lambda rows, index: np.full((len(index), rows.shape[1]), np.inf))
    with pytest.raises(Diverged, match="grounding_image") as caught:
        train(small, tmp_path, quiet=True)
    saved = load_file(tmp_path / f"diverged-step-{caught.value.step:06d}.safetensors")
    assert saved["input_ids"].shape[0] == 8
    assert not (tmp_path / "model").exists()


def test_the_exported_model_gives_the_same_vectors_everywhere(small: RunConfig, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    from dalr.evaluation import SentenceEncoder
    from dalr.model.pooling import masked_mean

    train(with_overrides(small, {"train.steps": 2}), tmp_path, quiet=True)
    sentences = ["a man plays", "the big red dog runs in a small park with a ball", ""]
    ours = SentenceEncoder.load(str(tmp_path / "model")).encode(sentences)
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(sentences)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    tokens = AutoTokenizer.from_pretrained(tmp_path / "model")(sentences, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(tmp_path / "model")(**tokens).last_hidden_state
    np.testing.assert_allclose(ours, masked_mean(states, tokens["attention_mask"]).numpy(), atol=1e-5)


def test_two_passes_train_as_one(with_dropout: RunConfig, tmp_path: Path) -> None:
    """Without dropout the parts do not matter; the draws differ by part, so dropout is off here."""
    still = with_overrides(with_dropout, {"model.dropout": 0.0})
    train(still, tmp_path / "one", quiet=True)
    train(with_overrides(still, {"train.accumulate": 3}), tmp_path / "three", quiet=True)
    np.testing.assert_allclose(losses(tmp_path / "three"), losses(tmp_path / "one"), rtol=1e-4)


@pytest.mark.parametrize("terms", [{"cross_modal": 0}, {"cross_modal": 0, "weights.local_global": 0}])
def test_a_teacher_that_no_term_asks_is_no_obstacle(tmp_path: Path, small: RunConfig, terms: dict[str, float]) -> None:
    silent = {"weights.intra_alignment": 0, "weights.rank": 0, **terms}
    config = with_overrides(small, {f"objective.{key}": value for key, value in silent.items()} | {"train.steps": 2})
    outcome = train(config, tmp_path, callbacks=[], recipe="dalr", quiet=True)
    assert outcome.finished
    assert all(np.isfinite(losses(tmp_path)))
