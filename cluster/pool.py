"""Function calls in other processes: at most so many at a time, lost workers replaced, errors as they were."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import ray
import ray.exceptions

from dalr.errors import Failed, InputError
from dalr.extensions import Carried, carried, load_carried

if TYPE_CHECKING:  # it imports torch, which not every process needs that gets a call
    from dalr.cluster.train import Workers

LOST = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.RayActorError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.ObjectLostError,
)
"""What Ray raises where the process was lost, not the call wrong."""


Handle = Any
"""A call that was started; hashable."""


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

    def close(self) -> None:
        """Ends all processes; no call is wanted any more."""


class RayProcesses:
    """The connected Ray cluster: at most `workers.count` processes, each of which holds the resources of one worker,
    and what it has loaded, until it is closed: Ray never counts a GPU as free whose memory a model still fills.

    A call goes to a process that is there, and not to one that waits for its place on the cluster.
    """

    def __init__(self, workers: "Workers") -> None:
        self._count = workers.count
        self._process = partial(
            _Process.options(num_cpus=workers.cpus, num_gpus=workers.gpus).remote,  # type: ignore[attr-defined]
            workers.gpus,
        )
        self._queue: deque[Call] = deque()
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._working: dict[Any, tuple[Call, Any]] = {}
        self._ended: dict[Call, tuple[Any, Any]] = {}

    def keep(self, value: Any) -> Any:
        return ray.put(value)

    def start(self, call: Call) -> Handle:
        self._queue.append(call)
        there = len(self._idle) + len(self._starting) + len(self._working) + len(self._ended)
        if not self._idle and there < self._count:
            process = self._process()
            self._starting[process.ready.remote()] = process
        self._hand_out()
        return call

    def wait(self, handles: Sequence[Handle], timeout: float) -> list[Handle]:
        there, _ = ray.wait([*self._starting, *self._working], num_returns=1, timeout=timeout)
        for answer in there:
            if answer in self._working:
                call, process = self._working.pop(answer)
                self._ended[call] = (answer, process)
            else:
                self._started(answer)
        self._hand_out()
        return [handle for handle in handles if handle in self._ended]

    def _started(self, answer: Any) -> None:
        process = self._starting.pop(answer)
        try:
            ray.get(answer)
        except ray.exceptions.RayError:
            if self._queue:  # a call was lost with it: it is that call's result
                self._ended[self._queue.popleft()] = (answer, process)
        else:
            self._idle.append(process)

    def _hand_out(self) -> None:
        while self._queue and self._idle:
            call, process = self._queue.popleft(), self._idle.pop()
            self._working[process.call.remote(carried(), call.function, *call.arguments)] = (call, process)

    def result(self, handle: Handle) -> Any:
        answer, process = self._ended.pop(handle)
        try:
            value = ray.get(answer)
        except ray.exceptions.RayTaskError:
            self._idle.append(process)
            raise
        except ray.exceptions.RayError:
            ray.kill(process)
            raise
        self._idle.append(process)
        return value

    def cancel(self, handle: Handle) -> None:
        if handle in self._queue:
            self._queue.remove(handle)
        for call, process in self._working.values():
            if call is handle:
                ray.kill(process)

    def close(self) -> None:
        working = [process for _, process in (*self._working.values(), *self._ended.values())]
        for process in (*self._idle, *self._starting.values(), *working):
            ray.kill(process)


@ray.remote
class _Process:
    """A process of a pool, with the device that it asked for and no other."""

    def __init__(self, gpus: float) -> None:
        self._gpus: float | None = gpus

    def ready(self) -> None:
        """Answers when the process has its place on the cluster."""

    def call(self, modules: Carried, function: Callable[..., Any], *arguments: Any) -> Any:
        load_carried(modules)
        if self._gpus is not None:
            from dalr.cluster.devices import claim_device  # it imports torch, which takes seconds

            claim_device(self._gpus)
            self._gpus = None
        return function(*arguments)


class Pool:
    """Runs calls, at most `workers.count` at a time; a lost one is repeated, each at most
    `workers.max_failures` times. When the block ends, calls still running are cancelled and the processes end."""

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
        self._processes.close()

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
            InputError, Failed, OSError: raised by the call itself, with its own message.
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
    return cause if isinstance(cause, InputError | Failed | OSError) else error
