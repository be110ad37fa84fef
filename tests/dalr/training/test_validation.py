"""Validation by several workers: the score of one process to the last bit, the work divided."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dalr.evaluation import MetricScorer, SentenceEncoder
from dalr.training.validation import Validation
from tests.dalr.evaluation.small_data import write_small_data
from tests.dalr.training.validation_workers import METRICS, answers, small_batches, worker
from tests.processes import run_workers

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("senteval"))


@pytest.fixture(scope="module")
def alone(data: Path, tiny_bert: Path) -> dict[str, Any]:
    """The answers of a process without others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = answers(str(tiny_bert), str(data))
    torch.set_num_threads(threads)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, data: Path, tiny_bert: Path) -> Path:
    """The answers of 2 and of 3 workers."""
    folder = tmp_path_factory.mktemp("workers")
    run_workers(worker, (2, 3), str(tiny_bert), str(data), str(folder), count=3)
    return folder


@pytest.mark.parametrize("metric", METRICS)
def test_one_process_scores_what_the_plain_encoder_does(
    metric: str, alone: dict[str, Any], data: Path, tiny_bert: Path
) -> None:
    encoder = SentenceEncoder.load(str(tiny_bert), "avg", device="cpu")
    with small_batches():
        assert alone[metric] == MetricScorer(data, metric).score(encoder.encode)
    assert alone["training"] is True


@pytest.mark.parametrize("world", [2, 3])
def test_every_worker_has_the_score_of_one_process(world: int, alone: dict[str, Any], folder: Path) -> None:
    workers = [json.loads((folder / f"{world}-{number}.json").read_text()) for number in range(world)]
    for metric in METRICS:
        assert [found[metric] for found in workers] == [alone[metric]] * world
        shares = [found[f"{metric}.encoded"] for found in workers]
        assert sum(shares) == alone[f"{metric}.encoded"]  # each sentence once, by one of them
    assert all(found["training"] for found in workers)


@pytest.mark.parametrize("world", [2, 3])
def test_vectors_that_are_not_finite_are_told_on_every_worker(world: int, folder: Path) -> None:
    for number in range(world):
        assert "not finite" in json.loads((folder / f"{world}-{number}.json").read_text())["error"]


@pytest.mark.parametrize("world", [2, 3])
def test_the_work_is_divided(world: int, alone: dict[str, Any], folder: Path) -> None:
    workers = [json.loads((folder / f"{world}-{number}.json").read_text()) for number in range(world)]
    shares = [found["STS12.test.encoded"] for found in workers]
    assert max(shares) < 1.5 * alone["STS12.test.encoded"] / world


def test_tokens_are_made_once_and_vectors_copied_once(data: Path, tiny_bert: Path, monkeypatch) -> None:
    encoder = SentenceEncoder.load(str(tiny_bert), "avg", device="cpu")
    with small_batches():
        validation = Validation(MetricScorer(data, "STSBenchmark.dev"), encoder)
    before = validation.score()

    def again(*_: object, **__: object) -> None:
        raise AssertionError("the split is tokenised, or put on the device, again")

    monkeypatch.setattr(encoder, "tokenizer", again)
    monkeypatch.setattr(encoder, "on_device", again)
    copies: list[int] = []
    plain = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: (copies.append(len(tensor)), plain(tensor))[1])
    assert validation.score() == before
    assert copies == [len(set(validation.scorer.sentences))]


def test_only_padded_batches_have_a_mask(data: Path, tiny_bert: Path) -> None:
    """Without one, attention reads nothing back from the device; the vectors are the same."""
    encoder = SentenceEncoder.load(str(tiny_bert), "avg", device="cpu")
    masks = []
    encoder.model.register_forward_pre_hook(
        lambda module, args, kwargs: masks.append(kwargs["attention_mask"]), with_kwargs=True
    )
    ids = encoder.tokenizer(["a dog runs", "a cat sits", "a dog"])["input_ids"]
    with torch.inference_mode():
        same, ragged = encoder.on_device(ids[:2]), encoder.on_device(ids)
        assert (same.padded, ragged.padded) == (False, True)
        torch.testing.assert_close(encoder.vectors(same), encoder.vectors(ragged)[:2])
        given = encoder.vectors(same._replace(padded=True))
        torch.testing.assert_close(encoder.vectors(same), given)
    assert [mask is None for mask in masks] == [True, False, False, True]
