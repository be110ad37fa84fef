"""Function calls in other processes: at most so many at a time, lost workers replaced, errors as they were."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import ray
import ray.exceptions

from dalr.errors import InputError
from dalr.extensions import Carried, carried, load_carried

if TYPE_CHECKING:  # it imports torch, which not every process needs that gets a call
    from dalr.cluster.train import Workers

LOST = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.ObjectLostError,
)
"""What Ray raises where the process was lost, not the call wrong."""


Handle = Any
"""A call that was started; hashable. Ray's is an ObjectRef."""


@dataclass(frozen=True, eq=False)
class Call:
    """A function of a module and its arguments; those that stand for a kept value arrive as
    it. `name` says what it is in an error message. A call equals itself alone."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Processes(Protocol):
    """Where calls run."""

    def keep(self, value: Any) -> Any:
        """Stores a value that several calls take; what is returned stands for it among their arguments."""

    def start(self, call: Call) -> Handle:
        """Starts a call, or queues it until there is room."""

    def wait(self, handles: Sequence[Handle], timeout: float) -> list[Handle]:
        """The handles of calls that have ended, after at most `timeout` seconds."""

    def result(self, handle: Handle) -> Any:
        """What an ended call returned; raises what it raised, or one of `LOST`."""

    def cancel(self, handle: Handle) -> None:
        """Ends a call that is no longer wanted."""


class RayProcesses:
    """The connected Ray cluster; each call asks for the resources of one worker."""

    def __init__(self, workers: "Workers") -> None:
        # Ray's own retries after a lack of memory have no end, so the pool counts.
        self._call = _call.options(num_cpus=workers.cpus, num_gpus=workers.gpus, max_retries=0)

    def keep(self, value: Any) -> Any:
        return ray.put(value)

    def start(self, call: Call) -> Handle:
        return self._call.remote(carried(), call.function, *call.arguments)

    def wait(self, handles: Sequence[Handle], timeout: float) -> list[Handle]:
        return ray.wait(list(handles), num_returns=1, timeout=timeout)[0]

    def result(self, handle: Handle) -> Any:
        return ray.get(handle)

    def cancel(self, handle: Handle) -> None:
        ray.cancel(handle)


# Without GPUs in the decorator, Ray keeps a GPU's process for the next call, and its model with it.
@ray.remote
def _call(modules: Carried, function: Callable[..., Any], *arguments: Any) -> Any:
    load_carried(modules)
    return function(*arguments)


class Pool:
    """Runs calls, at most `workers.count` at a time; a lost one is repeated, each at most
    `workers.max_failures` times. Calls still running when the block ends are cancelled."""

    def __init__(self, workers: "Workers", processes: Processes | None = None) -> None:
        self._workers = workers
        self._processes = processes or RayProcesses(workers)
        self._running: dict[Handle, tuple[Call, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._running:
            self._processes.cancel(handle)

    @property
    def busy(self) -> bool:
        """Whether any call is running."""
        return bool(self._running)

    @property
    def free(self) -> bool:
        """Whether another call may be submitted."""
        return len(self._running) < self._workers.count

    def keep(self, value: Any) -> Any:
        """Stores a value that several calls take; what is returned stands for it among their arguments."""
        return self._processes.keep(value)

    def submit(self, call: Call) -> None:
        """Starts a call; only while `free`."""
        self._running[self._processes.start(call)] = (call, 0)

    def finished(self, timeout: float = 0.5) -> Iterator[tuple[Call, Any]]:
        """Calls that have ended, with what they returned; after `timeout` seconds perhaps none.

        Raises:
            InputError, OSError: raised by the call itself, with its own message.
            ChildProcessError: the call's worker was lost once too often.
        """
        for handle in self._processes.wait(list(self._running), timeout):
            call, losses = self._running.pop(handle)
            try:
                returned = self._processes.result(handle)
            except LOST as error:
                self._again(call, losses + 1, error)
                continue
            except ray.exceptions.RayTaskError as error:
                raise own_error(error) from None
            yield call, returned

    def _again(self, call: Call, losses: int, error: ray.exceptions.RayError) -> None:
        if losses > self._workers.max_failures:
            reason = str(error).strip().splitlines()
            raise ChildProcessError(
                f"{call.name}: its worker was lost {losses} times, the last time: {reason[0] if reason else error!r}"
            ) from error
        self._running[self._processes.start(call)] = (call, losses)


def own_error(error: ray.exceptions.RayTaskError) -> Exception:
    """What the function itself raised, where its message is meant for the user; else Ray's error,
    which holds the worker's traceback."""
    cause = error.cause
    return cause if isinstance(cause, InputError | OSError) else error
