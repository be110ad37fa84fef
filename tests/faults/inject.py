"""Faults that strike a `dalr` process at a chosen moment, and only once.

A process is armed by wrapping the functions that it passes through at that moment; everything else,
the command line included, is the real thing.
"""

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

import dalr.data.store
import dalr.model.student
import dalr.training.checkpoint
import dalr.training.saver
import dalr.training.trainer
from dalr.__main__ import main
from dalr.evaluation import SentenceEncoder
from dalr.evaluation.encoder import TokenBatch
from dalr.training.saver import HostCopy, Saver
from tests.processes import SERVER

Action = Literal["kill", "terminate", "call", "fill", "poison"]
Moment = Literal["start-up", "step", "snapshot", "weights", "checkpoint", "notes", "removal", "evaluation", "export"]


@dataclass(frozen=True)
class Fault:
    """What strikes, when and whom.

    `kill` and `terminate` send SIGKILL and SIGTERM to the process itself, `call` leaves the strike to the
    test and waits for it (`called_by`, `release`), `fill` writes `disk` full, `poison`
    makes the student's weights NaN (during a checkpoint's step: its gradient).
    `moment`: while features are being written; inside optimizer step `step`; while its values are being copied
    (`snapshot`), when its checkpoint has half of the weights (`weights`), half of the optimizer's state
    (`checkpoint`), all but its notes (`notes`), or is complete beside the one that it replaces (`removal`); inside
    its evaluation; in the middle of the export. `struck` is a file that the first
    strike makes, with the process's id in it; a process that finds it is spared.
    """

    action: Action
    moment: Moment
    struck: Path
    step: int = 5
    disk: Path | None = None

    def strike(self) -> None:
        """Sends the signal, fills the disk, or calls the test and waits at this very moment."""
        try:
            with self.struck.open("x") as file:
                file.write(f"{os.getpid()}\n")
        except FileExistsError:
            return
        if self.action == "fill":
            assert self.disk is not None
            fill(self.disk)
            return
        if self.action == "call":
            waited_for(self._released.exists)
            return
        os.kill(os.getpid(), signal.SIGKILL if self.action == "kill" else signal.SIGTERM)

    @property
    def _released(self) -> Path:
        return self.struck.with_name(f"{self.struck.name}.released")

    def called_by(self) -> int:
        """Waits for the call; the id of the process that waits now."""
        waited_for(lambda: self.struck.is_file() and self.struck.read_text().endswith("\n"))
        return int(self.struck.read_text())

    def release(self) -> None:
        """Lets the process that called go on."""
        self._released.touch()


def waited_for(condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    """What the condition returns, once it is true."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(0.05)
    return answer


def fill(disk: Path) -> None:
    """Writes until the disk has no room left."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        for size in (2**16, 2**10, 1):
            try:
                while True:
                    filler.write(b"\0" * size)
            except OSError:
                continue


def arm(fault: Fault) -> None:
    """Lays the fault into this process."""
    {
        "start-up": _arm_start_up,
        "step": _arm_step,
        "snapshot": _arm_snapshot,
        "weights": _arm_weights,
        "checkpoint": _arm_checkpoint,
        "notes": _arm_notes,
        "removal": _arm_removal,
        "evaluation": _arm_evaluation,
        "export": _arm_export,
    }[fault.moment](fault)


def _arm_start_up(fault: Fault) -> None:
    """Features are being written: of some file there is half."""
    save = np.save

    def half(file: Any, array: Any, **options: Any) -> None:
        with contextlib.nullcontext(file) if hasattr(file, "write") else Path(file).open("wb") as opened:
            opened.write(b"half")
            opened.flush()
            fault.strike()
            opened.seek(0)
            save(opened, array, **options)

    np.save = half


def _save_at_once() -> None:
    """Each checkpoint is complete before the next step, so that a fault of the step finds it there."""
    save = Saver.save_if_due

    def saved(saver: Saver, run: dalr.training.trainer.Run, *, stopping: bool) -> None:
        save(saver, run, stopping=stopping)
        if saver._job is not None:
            wait([saver._job])

    Saver.save_if_due = saved  # type: ignore[method-assign]


def _arm_step(fault: Fault) -> None:
    """The gradient is computed, the optimizer has not stepped."""
    _save_at_once()
    compute = dalr.training.trainer.compute_gradients
    step = dalr.training.trainer.Run.step
    now = {"step": 0}

    def counted(run: dalr.training.trainer.Run) -> None:
        now["step"] = run.progress.step + 1
        if fault.action == "poison" and now["step"] == fault.step and spared(fault):
            _poison(run.student)
        step(run)

    def struck(*inputs: Any, **options: Any) -> Any:
        terms = compute(*inputs, **options)
        if fault.action != "poison" and now["step"] == fault.step:
            fault.strike()
        return terms

    dalr.training.trainer.Run.step = counted  # type: ignore[method-assign]
    dalr.training.trainer.compute_gradients = struck


def spared(fault: Fault) -> bool:
    """Whether a poison has not been given before; notes that it is given now."""
    if fault.struck.exists():
        return False
    fault.struck.touch()
    return True


def _poison(module: torch.nn.Module) -> None:
    with torch.no_grad():
        next(module.parameters()).fill_(torch.nan)


def _arm_checkpoint(fault: Fault) -> None:
    """The weights are written, the optimizer's state by half; or the step before it has a NaN gradient."""
    save, step = torch.save, dalr.training.trainer.Run.step
    compute = dalr.training.trainer.compute_gradients
    now = {"step": 0}
    saving = _saving(fault)

    def counted(run: dalr.training.trainer.Run) -> None:
        now["step"] = run.progress.step + 1
        step(run)

    def half(state: Any, file: Any) -> None:
        if fault.action != "poison" and saving():
            file.write(b"half")
            file.flush()
            fault.strike()
            file.seek(0)
        save(state, file)

    def poisoned(student: torch.nn.Module, *inputs: Any, **options: Any) -> Any:
        terms = compute(student, *inputs, **options)
        if fault.action == "poison" and now["step"] == fault.step and spared(fault):
            gradient = next(p.grad for p in student.parameters() if p.grad is not None)
            gradient[0] = torch.nan
        return terms

    dalr.training.trainer.Run.step = counted  # type: ignore[method-assign]
    dalr.training.trainer.compute_gradients = poisoned
    torch.save = half


def _saving(fault: Fault) -> Callable[[], bool]:
    """Tells whether the checkpoint of the fault's step is being saved now. The step after it waits for the fault, as
    if it took longer than the writing that goes on beside it."""
    submit, step = Saver._submit, dalr.training.trainer.Run.step
    now = {"saved": 0}

    def noted(saver: Saver, state: Any, progress: Any, write: Any) -> bool:
        if saver._job is not None:
            wait([saver._job])
        now["saved"] = progress.step
        return submit(saver, state, progress, write)

    def waiting(run: dalr.training.trainer.Run) -> dict[str, float]:
        if fault.action != "poison" and run.progress.step == fault.step:
            waited_for(fault.struck.exists)
        return step(run)

    Saver._submit = noted  # type: ignore[method-assign]
    dalr.training.trainer.Run.step = waiting  # type: ignore[method-assign]
    return lambda: now["saved"] == fault.step


def _arm_snapshot(fault: Fault) -> None:
    """Some values are copied, the others not."""
    copy, saving, copied = HostCopy._tensor, _saving(fault), []

    def struck(host: HostCopy, tensor: torch.Tensor, place: tuple[Any, ...]) -> torch.Tensor:
        if saving():
            copied.append(place)
            if len(copied) == 3:
                fault.strike()
        return copy(host, tensor, place)

    HostCopy._tensor = struck  # type: ignore[method-assign]


def _arm_weights(fault: Fault) -> None:
    """The student's weights are written by half."""
    save, saving = dalr.training.checkpoint.save_file, _saving(fault)

    def half(tensors: Any, file: Path) -> None:
        if saving():
            file.write_bytes(b"half")
            fault.strike()
        save(tensors, file)

    dalr.training.checkpoint.save_file = half


def _arm_notes(fault: Fault) -> None:
    """All is written but the notes, without which a checkpoint is none."""
    write, saving = dalr.training.checkpoint.write_json, _saving(fault)

    def struck(path: Path, value: Any) -> None:
        if saving():
            fault.strike()
        write(path, value)

    dalr.training.checkpoint.write_json = struck


def _arm_removal(fault: Fault) -> None:
    """The checkpoint is complete, the one that it replaces still there."""
    remove, saving = dalr.training.saver.remove_old, _saving(fault)

    def struck(folder: Path, **which: Any) -> None:
        if saving():
            fault.strike()
        remove(folder, **which)

    dalr.training.saver.remove_old = struck


def _arm_evaluation(fault: Fault) -> None:
    """Some sentences are encoded, the others not."""
    _save_at_once()
    vectors, evaluate = SentenceEncoder.vectors, dalr.training.trainer.Run.evaluate_if_due
    now = {"step": 0}

    def counted(run: dalr.training.trainer.Run) -> float | None:
        now["step"] = run.progress.step
        if fault.action == "poison" and now["step"] == fault.step and spared(fault):
            _poison(run.student)
        return evaluate(run)

    def struck(encoder: SentenceEncoder, batch: TokenBatch) -> torch.Tensor:
        encoded = vectors(encoder, batch)
        if fault.action != "poison" and now["step"] == fault.step:
            fault.strike()
        return encoded

    dalr.training.trainer.Run.evaluate_if_due = counted  # type: ignore[method-assign]
    SentenceEncoder.vectors = struck  # type: ignore[method-assign]


def _arm_export(fault: Fault) -> None:
    """The weights and the tokenizer are exported, the pooler's files are not."""
    write = dalr.model.student._write

    def struck(path: Path, value: object) -> None:
        fault.strike()
        write(path, value)

    dalr.model.student._write = struck


class Said(NamedTuple):
    """How a process ended: its exit code (−9 after SIGKILL) and its words."""

    code: int
    out: str
    err: str


def start(
    words: Sequence[str],
    notes: Path,
    fault: Fault | None = None,
    file_limit: int | None = None,
    env: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Starts `dalr WORDS` in a process of its own that has everything imported already. What it says is
    written to `notes`.out and `notes`.err. `file_limit`: the largest file it may write, in bytes; `env`: what
    its environment has besides."""
    process = SERVER.Process(target=_child, args=(list(words), notes, fault, file_limit, dict(env or {})))
    process.start()
    return process


def _child(words: list[str], notes: Path, fault: Fault | None, file_limit: int | None, env: dict[str, str]) -> None:
    for number, ending in ((1, ".out"), (2, ".err")):
        with notes.with_suffix(ending).open("wb") as file:
            os.dup2(file.fileno(), number)
    if fault is not None:
        arm(fault)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    os.environ.update(env)
    sys.argv = ["dalr", *words]
    main()


def dalr_apart(words: Sequence[str], notes: Path, fault: Fault | None = None, file_limit: int | None = None) -> Said:
    """Runs `dalr WORDS` in a process of its own, to its end."""
    return ended(start(words, notes, fault, file_limit), notes)


def ended(process: BaseProcess, notes: Path, seconds: float = 100.0) -> Said:
    """Waits for the end of what `start` started."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"it did not end: {notes.with_suffix('.err').read_text()}")
    said = Said(process.exitcode, *(notes.with_suffix(ending).read_text() for ending in (".out", ".err")))
    process.close()
    return said
