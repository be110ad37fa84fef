"""Saves a run while it trains: a thread copies the values on the host while the next gradient is computed, which
changes none of them, and then writes the copy."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from dalr.identity import Identity
from dalr.training.callbacks import Callback
from dalr.training.checkpoint import Progress, State, Trainables, fixed_buffers, save_checkpoint, state_of
from dalr.training.checkpoint_files import remove_old, remove_unnamed
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run

_log = logging.getLogger(__name__)

Ready = tuple[torch.device, "torch.cuda.Event"]
"""A GPU, and an event in the stream that trains on it."""


class HostCopy:
    """Copies nested values with tensors into host memory that is used again by the next copy: pinned for a GPU's
    tensors, and touched by then, so that a copy costs the memory's own speed."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[Any, ...], Tensor] = {}

    def of(self, value: Any) -> Any:
        """The value with tensors of its own, until the next call."""
        return self._copied(value, (), {})

    def _copied(self, value: Any, place: tuple[Any, ...], seen: dict[Any, Tensor]) -> Any:
        if isinstance(value, Tensor):
            identity = (value.data_ptr(), value.shape, value.stride()) if value.numel() else place
            if identity not in seen:  # one tensor of two names stays one
                seen[identity] = self._tensor(value.detach(), place)
            return seen[identity]
        if isinstance(value, Mapping):
            return {key: self._copied(inner, (*place, key), seen) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._copied(inner, (*place, number), seen) for number, inner in enumerate(value))
        return value

    def _tensor(self, tensor: Tensor, place: tuple[Any, ...]) -> Tensor:
        buffer = self._buffers.get(place)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            self._buffers[place] = buffer
        return buffer.copy_(tensor, non_blocking=tensor.is_cuda)


def _ready(state: State) -> Ready | None:
    """When the student's GPU has done all that was asked of it so far; None where the values lie elsewhere."""
    device = next((tensor.device for tensor in state.student.values() if tensor.is_cuda), None)
    if device is None:
        return None
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return device, event


@contextmanager
def _beside(ready: Ready | None) -> Iterator[None]:
    """Inside, a GPU's copies run beside its work, from `ready` on; they are done when the block ends. The card is
    named: a thread's own is the first one, whatever that of the thread that trains is."""
    if ready is None:
        yield
        return
    device, event = ready
    stream = torch.cuda.Stream(device)
    stream.wait_event(event)
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


class Saver:
    """Decides, on the worker that writes, when a run is saved, and has it written by a thread: one job at a time.
    `wait_copied` must be called before the values change.

    Whole checkpoints: every `train.checkpoint_minutes`, every `train.checkpoint_every` steps, at the end and when
    the run stops. At a new best in between: the weights alone.
    """

    def __init__(
        self,
        folder: RunFolder,
        identity: Identity,
        callbacks: Sequence[Callback],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._callbacks = callbacks
        self._train = identity.config.train
        self._copy = HostCopy()
        self._copied = threading.Event()
        self._copied.set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._job: Future[None] | None = None
        self._now = now
        self._saved_at = now()

    def save_if_due(self, run: Run, *, stopping: bool) -> None:
        """Starts saving the run after its last step, if that is due. Waits for what is still being written where
        this step must be saved; a checkpoint by the clock is put off instead."""
        step, every = run.progress.step, self._train.checkpoint_every
        minutes = (self._now() - self._saved_at) / 60
        must = stopping or step == run.total or (every is not None and step % every == 0)
        if must or (minutes >= self._train.checkpoint_minutes and not self.busy):
            self._start(run.trainables, run.progress)
        elif step == run.progress.best_step:
            self._start_best(run.trainables, run.progress)

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._job is not None and not self._job.done()

    def wait_copied(self) -> None:
        """Waits until the values that are being saved are copied: then they may change."""
        self._copied.wait()

    def failure(self) -> str | None:
        """Why the last job failed; `finish` raises it."""
        error = self._job.exception() if self._job is not None and self._job.done() else None
        return None if error is None else f"it could not be saved: {error}"

    def finish(self) -> None:
        """Waits until all is written.

        Raises:
            OSError: it could not be written.
        """
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def close(self) -> None:
        """Ends the thread after what it is writing. A failure that nobody was told is a warning: what ends the
        run is another error."""
        self._thread.shutdown(wait=True)
        if (failure := self.failure()) is not None:
            _log.warning(failure)

    def _start(self, trainables: Trainables, progress: Progress) -> None:
        if self._submit(state_of(trainables), progress, self._write):
            self._saved_at = self._now()

    def _start_best(self, trainables: Trainables, progress: Progress) -> None:
        state = State(fixed_buffers(trainables.student), fixed_buffers(trainables.objective))
        self._submit(state, progress, self._write_best)

    def _submit(self, state: State, progress: Progress, write: Callable[[State, Progress], None]) -> bool:
        if self._job is not None:
            wait([self._job])
        if self.failure() is not None:
            return False  # the loop hears of it at its next step, on every worker
        self._copied.clear()
        self._job = self._thread.submit(self._copy_and_write, state, _ready(state), progress, write)
        return True

    def _copy_and_write(
        self,
        state: State,
        ready: Ready | None,
        progress: Progress,
        write: Callable[[State, Progress], None],
    ) -> None:
        try:
            with _beside(ready):
                copied = State(**self._copy.of(vars(state)))
        finally:
            self._copied.set()
        write(copied, progress)

    def _write(self, state: State, progress: Progress) -> None:
        """Writes a checkpoint, then removes those that it makes superfluous, and tells the callbacks."""
        checkpoints = self._folder.checkpoints
        save_checkpoint(checkpoints, state, progress, self._identity)
        remove_old(checkpoints, keep=self._train.keep, best_step=progress.best_step)
        self._folder.note_step(progress.step)
        for callback in self._callbacks:
            callback.on_checkpoint(progress.step)

    def _write_best(self, state: State, progress: Progress) -> None:
        save_checkpoint(self._folder.checkpoints, state, progress, self._identity)
        remove_unnamed(self._folder.checkpoints, best_step=progress.step)
