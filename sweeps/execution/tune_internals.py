"""The one place for names of Ray Tune that Ray does not promise to keep. `TESTED` is the release they were read in:
a test fails on any other, so that an upgrade reads them again."""

from pathlib import Path
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

__all__ = [
    "TESTED",
    "Trial",
    "TuneController",
    "actor_of",
    "death_of",
    "is_started_again",
    "live_trials",
    "never_again",
]

TESTED = "2.60.0"


def live_trials(controller: TuneController) -> list[Trial]:
    """The trials that have not ended; `get_trials` has all that ever were."""
    return list(controller.get_live_trials())


def actor_of(trial: Trial) -> Any:
    """The handle of a trial's actor; None where it has none."""
    return trial.temporary_state.ray_actor


def is_started_again(trial: Trial) -> bool:
    """Whether Tune starts a trial whose process died once more."""
    return trial.should_recover()


def never_again(trial: Trial) -> None:
    """Keeps Tune from starting a trial again, whatever becomes of its process."""
    trial.max_failures = 0


def death_of(trial: Trial) -> str:
    """What Ray says of a trial's death, in one line. Tune has the error itself only after its next sync; the text is
    there at once."""
    path = Path(trial.error_file or "")
    return " ".join(path.read_text(encoding="utf-8").split("Failure #")[-1].split()) if path.is_file() else ""
