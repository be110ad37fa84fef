"""Why a run is given up, in one line: the reason of Ray Train, or of a worker that knows that a retry cannot help."""

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

import ray

from dalr.cluster.driver_node import actor_beside_driver
from dalr.errors import argument

if TYPE_CHECKING:  # the note's process does without: it takes a second to import
    from ray.train import TrainingFailedError

GO_ON = "the same command continues from the newest checkpoint"


def lost(
    error: "TrainingFailedError",
    workers: int,
    resources: Mapping[str, float],
    *,
    starts: int,
    max_failures: int,
) -> str:
    """Why Ray gave up a run of `workers` workers that want these `resources` each, and how to go on."""
    from ray.train import ControllerError

    if isinstance(error, ControllerError):
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in resources.items())
        reason = one_line(error.controller_failure).partition(". ")[0].rstrip(".")
        return f"{workers} workers of {wanted} could not be started, {starts} times in a row: {reason}; {GO_ON}"
    failures = sorted(getattr(error, "worker_failures", {}).items())
    first = next((f"worker {rank}: {one_line(failure)}" for rank, failure in failures), one_line(error))
    times = "once" if max_failures == 0 else f"{max_failures + 1} times, the last time"
    return f"failed {times} at {first}; {GO_ON} ({argument('max_failures')} allows more failures)"


def one_line(error: BaseException) -> str:
    """The line of an error's text that says most: of a traceback the last, of other messages the first."""
    # Ray Train wraps what it found when it looked at a worker.
    error = getattr(error, "health_check_failure", error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0]).rstrip(".")


class _Note:
    """Outlives the workers of a run: Ray Train starts them all again when one raises."""

    def __init__(self) -> None:
        self._reason: str | None = None

    def write(self, reason: str) -> None:
        self._reason = reason

    def read(self) -> str | None:
        return self._reason


def open_note(name: str) -> object:
    """A place where a worker may leave the reason to give the run up (`give_up`), for the workers that are started
    in its place (`given_up`). It lasts as long as its handle, on the driver's node: a worker's node may be lost."""
    return actor_beside_driver(_Note, name)


def give_up(name: str, reason: str) -> None:
    """Leaves the reason; the caller then raises, which ends the other workers too."""
    ray.get(ray.get_actor(name).write.remote(reason))


def given_up(name: str) -> str | None:
    """The reason that a worker left."""
    reason: str | None = ray.get(ray.get_actor(name).read.remote())  # type: ignore[assignment]
    return reason


def out_of_memory(error: BaseException, rank: int) -> str:
    """What to do about a worker whose memory did not suffice: the next attempt would end in the same way."""
    return (
        f"out of memory: worker {rank} on {socket.gethostname()}: {one_line(error)}; raise train.accumulate, set "
        "train.activation_checkpointing, lower train.batch_size, or use larger GPUs or more workers"
    )
