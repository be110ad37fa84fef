"""Gradients in buckets that are sent while the backward pass goes on, against gradients that are sent after it."""

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dalr.config.overrides import to_yaml
from dalr.training import gradients
from dalr.training.gradients import Gradients
from tests.dalr.training.gradient_workers import CASES, worker
from tests.dalr.training.objectives import config_for
from tests.processes import run_workers

pytestmark = pytest.mark.medium

Answers = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, corpora: Path, tiny_bert: Path) -> Path:
    """The answers of 2 and of 3 workers."""
    folder = tmp_path_factory.mktemp("gradients")
    config = config_for("everything", corpora, tiny_bert, model__dropout=0.1, objective__on_text=["rank"])
    (folder / "config.yaml").write_text(to_yaml(config))
    run_workers(worker, (2, 3), str(folder), count=3)
    return folder


@pytest.fixture(params=[2, 3])
def workers(request: pytest.FixtureRequest, folder: Path) -> list[Answers]:
    return [torch.load(folder / f"{request.param}-{number}.pt", weights_only=True) for number in range(request.param)]


@pytest.mark.parametrize(("batch", "parts"), CASES)
def test_buckets_equal_one_buffer_sent_after_backward(workers: list[Answers], batch: int, parts: int) -> None:
    """To the bit against the same buckets, and with two workers against one buffer of all. Three are added in an
    order that depends on the place in the buffer."""
    for answers in workers:
        case = answers[f"{batch} {parts}"]
        assert case["count"] > 5
        exact = ("same", "whole") if len(workers) == 2 else ("same",)
        for reference in ("same", "whole"):
            for ours, expected in zip(case["buckets"], case[reference], strict=True):
                assert ours.keys() == expected.keys()
                for name, gradient in ours.items():
                    if reference in exact:
                        assert torch.equal(gradient, expected[name]), name
                    torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-7, msg=name)
            same = [torch.equal(*pair) for pair in zip(case["weights"], case[f"{reference} weights"], strict=True)]
            assert all(same) or reference not in exact
    first, *others = [answers[f"{batch} {parts}"]["buckets"] for answers in workers]
    for other in others:
        assert all(torch.equal(first[step][name], other[step][name]) for step in (0, 1) for name in first[step])


@pytest.mark.parametrize("parts", [1, 3])
def test_each_bucket_leaves_once_in_order_as_soon_as_it_is_complete(workers: list[Answers], parts: int) -> None:
    """A step of pairs, then one of sentences, which reaches few of the heads; only the last part of a step sends."""
    sent = []
    for answers in workers:
        for events in json.loads(answers[f"events 8 {parts}"]):
            sent.append([bucket for what, bucket in events if what == "sent"])
            assert sent[-1] == list(range(len(sent[-1])))
            first = events.index(["sent", 0])
            arrivals = [bucket for what, bucket in events if what == "arrived"]
            before = sum(what == "arrived" for what, _ in events[:first])
            assert before < len(arrivals)
            assert before / len(arrivals) >= (parts - 1) / (parts + 1)
            for bucket in sent[-1][:-1]:
                here = events.index(["sent", bucket])
                needed = [place for place, event in enumerate(events) if event[0] == "arrived" and event[1] <= bucket]
                last = max(needed, default=-1)  # none where no term of a step of sentences reaches the bucket
                assert last < here
                # Nothing came in between that it did not wait for, but for the parts before the last.
                began = last + 1 if parts == 1 else max(last + 1, first)
                assert all(event[0] == "sent" for event in events[began:here])
    assert all(order == sent[0] for order in sent)


def test_a_resumed_run_equals_an_uninterrupted_one(workers: list[Answers]) -> None:
    for answers in workers:
        assert answers["resumed"] == {"resumed": True, "weights": True, "moments": True}


def test_a_parameter_that_no_term_reaches_has_no_gradient(workers: list[Answers]) -> None:
    pairs, sentences = workers[0]["8 1"]["buckets"]
    assert any(name.startswith("align_image") for name in pairs)
    assert not any(name.startswith(("align_image", "ground")) for name in sentences)


def test_buckets_are_cut_by_size_and_kind() -> None:
    sizes = [nn.Parameter(torch.zeros(n)) for n in (100, 10, 10, 10)]
    sizes.append(nn.Parameter(torch.zeros(10, dtype=torch.float64)))
    cut = gradients._cut(sizes, 80)
    assert [[p.numel() for p in bucket] for bucket in cut] == [[100], [10, 10], [10], [10]]
    flat, views = gradients._flat(sizes[1:3])
    assert all(view.data_ptr() % 64 == 0 and view.shape == (10,) for view in views)
    assert flat.numel() == 64


def test_one_worker_has_autograds_own_gradients_and_nothing_keeps_the_parameters() -> None:
    layer = nn.Linear(2, 2)
    ours = Gradients(layer.parameters())
    for _ in range(2):
        ours.zero()
        ours.backward([layer(torch.ones(1, 2)).sum()], last=True)
        ours.wait()
    assert layer.bias.grad is not None
    assert layer.bias.grad.tolist() == [1, 1]
    gone = weakref.ref(layer.weight)
    gc.disable()
    try:
        del layer, ours
        assert gone() is None
    finally:
        gc.enable()
