"""One training run, in one process or as one worker of many: the same loop for both.

A run's future depends on the weights, the optimizer's moments, the number of steps done and the best
score so far: a checkpoint holds these. The rest (batch, dropout, learning rate) is a function of the
seed and the step.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from dalr.config.schema import RunConfig
from dalr.data.features.prepare import Features, prepare_features
from dalr.distributed import first_reason, rank, run_on_all_ranks, run_on_rank0
from dalr.identity import Identity, identity_of
from dalr.training.arithmetic import arithmetic
from dalr.training.callbacks import Callback, Diverged, Outcome, StopTraining
from dalr.training.inputs import check_inputs
from dalr.training.run_folder import MetricsLog, RunFolder
from dalr.training.saver import Saver
from dalr.training.trainer import Run
from dalr.training.unread import Line

__all__ = ["Callback", "Diverged", "Outcome", "StopTraining", "train"]


def train(
    config: RunConfig,
    out: Path,
    *,
    callbacks: Sequence[Callback] = (),
    recipe: str | None = None,
    device: torch.device | None = None,
    quiet: bool = False,
    display_name: str | None = None,
    extend: bool = False,
) -> Outcome:
    """Trains, or goes on training, the run in folder `out`; exports the best checkpoint; scores
    `evaluation.tasks` with it.

    Under torch.distributed every worker calls this with the same arguments and the same shared folder;
    worker 0 writes. A callback may keep the folder elsewhere: `display_name` then says where, and each machine
    may have a copy of its own, all alike when this is called. `recipe` is noted in the provenance. `config`
    has absolute paths (`dalr.config.overrides.with_absolute_paths`). With `extend` a run in `out` that differs in
    `train.steps` or `train.epochs` alone is trained on to the length of `config` (`dalr.training.extension`).

    Raises:
        InputError: the folder holds another config's run; a file or model cannot be read.
        Diverged: the loss is not finite; the batch is saved in `out`.
        Failed: another attempt at this run is still at work; or an operation has no kind that `train.deterministic`
            allows.
        OSError: a file cannot be written. What was written before is whole.
    """
    folder = RunFolder(Path(out).absolute(), display_name)
    if extend:
        shorter = config
        config = run_on_rank0(lambda: folder.extended(shorter))
    run_on_rank0(lambda: check_inputs(config))
    identity = Identity(config, run_on_rank0(lambda: dict(identity_of(config).contents)))
    run_on_rank0(lambda: folder.check(identity, extend=extend))
    place = device or _default_device()
    features = _features(config, quiet=quiet)
    run = run_on_all_ranks(lambda: Run.start(config, folder, place, identity=identity, features=features))
    with contextlib.closing(run), contextlib.ExitStack() as held:
        run_on_rank0(lambda: held.enter_context(folder.locked()))
        run_on_rank0(run.check_length)
        run_on_rank0(lambda: folder.open(identity, recipe, extend=extend))
        run_on_all_ranks(run.resume)
        try:
            with contextlib.ExitStack() as settings:
                run_on_all_ranks(lambda: settings.enter_context(arithmetic(config.train, place)))
                outcome = _loop(run, callbacks)
            if outcome.finished and rank() == 0:  # the others leave: nobody waits for the final evaluation
                run.finish()
                best = {"best_step": outcome.best_step, "best_score": outcome.best_score}
                folder.note_end({"steps": outcome.steps, **best})
        except BaseException as error:
            for callback in callbacks:
                callback.on_failure(error)
            raise
    for callback in callbacks:
        callback.on_end(outcome)
    return outcome


def _features(config: RunConfig, *, quiet: bool) -> Features:
    """Worker 0 fills the feature store first; its bad input is everyone's. Then each of the others reads it for
    itself; a machine that does not share the store fills its own."""
    mine: list[Features] = []
    run_on_rank0(lambda: mine.append(prepare_features(config, quiet=quiet)))
    return run_on_all_ranks(lambda: mine[0] if mine else prepare_features(config, quiet=True))


def _default_device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def _loop(run: Run, callbacks: Sequence[Callback]) -> Outcome:
    """Steps until all are done, or until a signal or a callback asks to stop."""
    started = time.perf_counter()
    log = MetricsLog(run.folder.metrics, step=run.progress.step) if rank() == 0 else None
    saver = Saver(run.folder, run.identity, callbacks) if rank() == 0 else None
    reason: str | None = None
    loss: float | None = None
    try:
        if saver is not None:
            run.before_update = saver.wait_copied
        _begin(callbacks, run)
        with _signals() as asked:
            while run.progress.step < run.total and reason is None:
                run.step()
                if not run.reading_is_due():
                    # Workers ask each other only where signals can arrive: the question holds up the host.
                    reason = None if asked is _no_signal else first_reason(asked())
                    if reason is None:
                        continue
                lines, failure = run.read()
                score = None if failure is not None else _evaluated(run, lines)
                for line in lines:
                    loss = line.metrics["loss"]
                    if log is not None:
                        log.write(line.step, line.metrics)
                if failure is not None:
                    raise failure
                told = _tell(callbacks, lines, score)
                reason = first_reason((saver and saver.failure()) or told or asked() or reason)
                # A save waits for the one before it, and that perhaps for its upload: so do all, in the control group.
                run_on_rank0(partial(_save_if_due, saver, run, stopping=reason is not None))
            # The other workers wait until everything is written, and fail too where the writing fails.
            run_on_rank0(lambda: saver.finish() if saver is not None else None)
    except OSError:
        if saver is not None:
            saver.finish()  # what failed there failed first
        raise
    finally:
        if saver is not None:
            saver.close()
        if log is not None:
            log.close()
    return Outcome(
        steps=run.progress.step,
        best_step=run.progress.best_step,
        best_score=run.progress.best_score,
        last_loss=loss,
        seconds=time.perf_counter() - started,
        finished=run.progress.step >= run.total,
        reason=reason,
    )


def _save_if_due(saver: Saver | None, run: Run, *, stopping: bool) -> None:
    if saver is not None:
        saver.save_if_due(run, stopping=stopping)


def _begin(callbacks: Sequence[Callback], run: Run) -> None:
    """Tells every callback of the start. What one of them refuses on any worker ends the run on all."""

    def tell() -> None:
        for callback in callbacks:
            callback.on_start(run.progress.step, run.total)

    run_on_all_ranks(tell)


def _evaluated(run: Run, lines: Sequence[Line]) -> float | None:
    """The student's score where it is due, noted in the last line."""
    began = time.perf_counter()
    score = run.evaluate_if_due()
    if score is not None:
        lines[-1].metrics[run.config.evaluation.metric] = score
        lines[-1].metrics["evaluation_seconds"] = time.perf_counter() - began
    return score


def _tell(callbacks: Sequence[Callback], lines: Sequence[Line], score: float | None) -> str | None:
    """Tells every callback of the steps read, and of the score after the last one; the reason to stop, if one of
    them asks for it."""
    reason = None
    for callback in callbacks:
        try:
            for line in lines:
                callback.on_step(line.step, line.metrics)
            if score is not None:
                callback.on_evaluation(lines[-1].step, score, lines[-1].metrics)
        except StopTraining as stop:
            reason = str(stop) or "a callback asked for it"
    return reason


def _no_signal() -> None:
    """The answer of a worker that no signal reaches."""


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], str | None]]:
    """While inside, the first SIGTERM or Ctrl-C asks for an orderly stop; a second Ctrl-C interrupts."""
    received: list[str] = []

    def note(number: int, frame: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield _no_signal  # only the main thread may set handlers; there, the caller handles signals
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
