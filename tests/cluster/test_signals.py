"""When workers ask whether to leave, and what is said of a run that was given up. Without Ray's processes;
with them: tests/faults/test_on_ray.py."""

import pytest
import ray.exceptions
import ray.train

from dalr.cluster import signals as stopping
from dalr.cluster.failures import lost, one_line
from dalr.cluster.signals import NODE_LEAVES, SaveBeforeNodeLeaves
from dalr.training.callbacks import StopTraining


@pytest.mark.parametrize("by_lines", [True, False])
@pytest.mark.parametrize(("seconds", "asked"), [(0.125, [1, 17, 33]), (0.875, [1, 3, 5, 7]), (30.0, [1, 2, 3, 4])])
def test_nodes_are_asked_about_every_two_seconds_or_at_every_longer_step(
    seconds: float, asked: list[int], by_lines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the steps' own time, however many lines arrive at once, as those of a GPU's steps do; and by the clock, where
    the time goes between the steps."""
    clock, found = [0.0], []
    monkeypatch.setattr(stopping.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(ray.train, "get_preemption_info", lambda: found.append(step))
    callback = SaveBeforeNodeLeaves()
    step = 0
    callback.on_start(0, 100)
    for step in range(1, asked[-1] + 1):
        clock[0] += 0.001 if by_lines else seconds
        callback.on_step(step, {"seconds": seconds if by_lines else 0.001})
    assert found == asked


def test_a_resumed_run_asks_after_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray.train, "get_preemption_info", lambda: object())
    callback = SaveBeforeNodeLeaves()
    callback.on_start(500, 1000)
    with pytest.raises(StopTraining, match=NODE_LEAVES):
        callback.on_step(501, {})


RESOURCES = {"CPU": 4.0, "GPU": 0.5}


def test_a_worker_that_failed_too_often_is_named_with_its_error() -> None:
    failures = {1: RuntimeError("Traceback (most recent call last):\n  File x\nOSError: [Errno 28] No space left")}
    error = ray.train.WorkerGroupError("much\nmore", failures)
    assert lost(error, 2, RESOURCES, starts=3, max_failures=3) == (
        "failed 4 times, the last time at worker 1: OSError: [Errno 28] No space left; the same command continues from "
        "the newest checkpoint (max_failures allows more failures)"
    )
    assert lost(error, 2, RESOURCES, starts=3, max_failures=0).startswith("failed once at worker 1: OSError")


def test_a_cluster_without_room_is_said_to_have_none() -> None:
    cause = RuntimeError(
        "The worker group startup timed out after 300.0 seconds waiting for 2 workers. Potential causes"
    )
    assert lost(ray.train.ControllerError(cause), 2, RESOURCES, starts=3, max_failures=3) == (
        "2 workers of 4 CPU, 0.5 GPU could not be started, 3 times in a row: The worker group startup timed out after "
        "300.0 seconds waiting for 2 workers; the same command continues from the newest checkpoint"
    )


def test_one_line_of_an_error_without_words_is_its_name() -> None:
    assert one_line(KeyError()) == "KeyError"
    assert one_line(ray.exceptions.ActorDiedError()).startswith("The actor died unexpectedly")
