"""What a training run tells the outside, and what the outside may tell it: stop."""

from collections.abc import Mapping
from dataclasses import dataclass

from dalr.errors import Failed
from dalr.progress import bar


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    `steps`: optimizer steps done, over all attempts. `best_score`: the best value of
    `evaluation.metric` (0-100) and `best_step` where it was seen, None where nothing was evaluated.
    `seconds`: this attempt's wall time inside the loop. `finished`: whether all steps were done;
    `reason` says why not.
    """

    steps: int
    best_step: int | None
    best_score: float | None
    last_loss: float | None
    seconds: float
    finished: bool
    reason: str | None = None


class StopTraining(Exception):
    """Raised by a callback: end the run now, orderly, with a checkpoint. The message is the reason."""


class Diverged(Failed):
    """The loss, its gradient or the student's vectors are not finite. The batch that caused it is saved
    in the run's folder."""

    def __init__(self, step: int, message: str) -> None:
        super().__init__(message)
        self.step = step

    def __reduce__(self) -> tuple[type, tuple[int, str]]:
        """Both arguments travel when the exception crosses processes."""
        return type(self), (self.step, str(self))


class Callback:
    """Listens to a run. Every method may be left as it is. Each worker calls the callbacks that it was
    given, at the same steps with the same values; any method may raise `StopTraining`."""

    def on_start(self, step: int, total: int) -> None:
        """The loop begins after `step` of `total` optimizer steps (above 0 when resuming). An InputError
        raised here is raised on every worker."""

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Optimizer step `step` (from 1) is done, on a GPU up to `train.log_every` steps ago; `metrics` is that
        step's line of metrics.jsonl."""

    def on_evaluation(self, step: int, score: float, metrics: Mapping[str, float]) -> None:
        """The student was evaluated after `step`: `score` is `evaluation.metric`, 0-100."""

    def on_checkpoint(self, step: int) -> None:
        """A checkpoint of `step` is complete on disk. Called on worker 0 alone, the one that writes, by the thread
        that wrote it, while training goes on."""

    def on_end(self, outcome: Outcome) -> None:
        """The loop has ended, and what follows it, unless one of them raised."""

    def on_failure(self, error: BaseException) -> None:
        """The loop, or what follows it, has raised; the error goes on its way."""


def describe(line: Mapping[str, float]) -> str:
    """A line of metrics.jsonl in a few words."""
    scores = [f"{name} {value:.2f}" for name, value in line.items() if name.endswith((".dev", ".test", ".train"))]
    return "  ".join([f"loss {line['loss']:.3f}", f"{line['samples_per_second']:.0f} samples/s", *scores])


class ProgressCallback(Callback):
    """Shows a run's steps on a progress bar."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._display = bar(quiet=quiet)
        self._task = self._display.add_task("training", total=None, note="")

    def on_start(self, step: int, total: int) -> None:
        self._display.update(self._task, completed=step, total=total)
        self._display.start()

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        self._display.update(self._task, completed=step, note=describe(metrics))

    def on_evaluation(self, step: int, score: float, metrics: Mapping[str, float]) -> None:
        self._display.say(self._task)

    def on_end(self, outcome: Outcome) -> None:
        self._display.stop()

    def on_failure(self, error: BaseException) -> None:
        self._display.stop()
