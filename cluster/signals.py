"""An orderly stop over processes: the driver gets the signal, the workers save and leave.

The request is an actor without work whose name is known to the driver and its workers: it is there or
not, and costs nothing until it is needed.
"""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import ray
import ray.train

from dalr.cluster.driver_node import actor_beside_driver
from dalr.distributed import broadcast
from dalr.training.callbacks import Callback, StopTraining

_log = logging.getLogger(__name__)

ASK_NODES_EVERY = 2.0
"""Seconds, at least, between two questions whether a node is to leave: each takes some milliseconds. Notice
is given 30 seconds before, or more."""

ASK_EVERY = 0.2
"""Seconds between two questions of a worker whether it is to stop; each is one small message."""


class _Request:
    """Its name is all there is to it."""


def request_to_stop(run: str) -> object:
    """Asks the workers of a run, by the name of its storage, to save and leave. The request lasts as long as its
    handle."""
    return actor_beside_driver(_Request, _name(run))


def _name(run: str) -> str:
    return f"stop {run}"


@contextmanager
def signals_ask(run: str, *, training: Callable[[], bool]) -> Iterator[Callable[[], str | None]]:
    """Inside the block the first SIGTERM or Ctrl-C asks the workers of `run` to save and leave, and the
    block goes on until they have. Where none is `training` yet, and for a second signal, this process
    does what it did before. What the block is given tells the name of the signal that asked, if one did. In a
    thread other than the main one signals are the caller's business."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    asked, ended = threading.Event(), threading.Event()
    names: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if not asked.is_set() and training():
            names.append(signal.Signals(number).name)
            asked.set()
        elif callable(handler):
            handler(number, frame)
        else:
            sys.exit(128 + number)

    def ask() -> None:
        asked.wait()
        if ended.is_set():
            return
        request = request_to_stop(run)
        _log.info("%s: the workers save a checkpoint and leave", names[0])
        ended.wait()
        del request

    # Not in the handler, which may interrupt Ray anywhere.
    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: names[0] if names else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        ended.set()
        asked.set()
        asker.join(5)


NODE_LEAVES = "a node is about to be taken away"


class SaveBeforeNodeLeaves(Callback):
    """Stops the run, which saves, when a worker's node is drained, as autoscalers drain a spot machine on
    notice. All workers of a run ask, at the same steps: the question is a barrier."""

    def __init__(self) -> None:
        self._asked = 0, time.monotonic()
        self._next = 0

    def on_start(self, step: int, total: int) -> None:
        self._asked = step, time.monotonic()
        self._next = step + 1

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        if step < self._next:
            return
        if ray.train.get_preemption_info() is not None:
            raise StopTraining(NODE_LEAVES)
        # By the clock, which sees what happens between steps, and by the line's own seconds: lines of a GPU's steps
        # arrive many at once. Worker 0's are everyone's, or one would wait at a step where the others do not ask.
        before, then = self._asked
        self._asked = step, time.monotonic()
        seconds = max(1e-3, metrics["seconds"], (self._asked[1] - then) / (step - before))
        self._next = step + broadcast(max(1, int(ASK_NODES_EVERY / seconds)))


class StopWhenAsked(Callback):
    """Stops the run after the step at which it finds a request to (`request_to_stop`). One worker of a run asks."""

    def __init__(self, run: str) -> None:
        self._name = _name(run)
        self._next = 0.0

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + ASK_EVERY
        try:
            ray.get_actor(self._name)
        except ValueError:
            return
        raise StopTraining("SIGTERM")
