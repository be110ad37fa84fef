"""Trackers: a run's lines of metrics.jsonl, sent to TensorBoard, W&B or MLflow as well, where asked for.

Asked for by name beside the config, of which they are no part: what is watched changes no result.
"""

import importlib.util
import os
from collections.abc import Sequence

from dalr.config.schema import RunConfig
from dalr.errors import InputError, argument
from dalr.tracking.labels import Labels
from dalr.tracking.tracker import Tracker
from dalr.training.run_folder import RunFolder

INSTALL = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow-skinny"}
"""The trackers: the module of each, and what to install for it."""

SETTINGS = (
    "WANDB_PROJECT",
    "WANDB_ENTITY",
    "WANDB_MODE",
    "WANDB_BASE_URL",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
)
"""The services' own variables that a run's workers take over from the shell that starts it. Keys and
passwords are not among them: the nodes' own environment has those."""


def parse_names(text: str) -> tuple[str, ...]:
    """`"tensorboard,wandb"` → the names, each once.

    Raises:
        InputError: an unknown name, or a package that is not installed here.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in INSTALL:
            raise InputError(f"{argument('report_to')}: unknown tracker {name!r}; known: {', '.join(INSTALL)}")
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # a folder of that name in the working directory is no package
            raise InputError(
                f"{argument('report_to')} {name}: the package is not installed; pip install {INSTALL[name]}"
            )
    return names


def service_settings(names: Sequence[str]) -> dict[str, str]:
    """The services' own variables of this process (`SETTINGS`), for the workers that send to these trackers."""
    return {name: os.environ[name] for name in SETTINGS if name in os.environ} if names else {}


def make_trackers(
    names: Sequence[str], folder: RunFolder, config: RunConfig, labels: Labels | None = None
) -> list[Tracker]:
    """The callbacks of these names for a run; make them before the run starts, on one worker only. `labels` say
    what the run is a part of."""
    return [_make(name, folder, config, labels) for name in names]


def _make(name: str, folder: RunFolder, config: RunConfig, labels: Labels | None) -> Tracker:
    # Each in a module of its own: only what is asked for is imported.
    match name:
        case "tensorboard":
            from dalr.tracking.tensorboard import TensorBoardTracker

            return TensorBoardTracker(folder, config, labels)
        case "wandb":
            from dalr.tracking.wandb import WandbTracker

            return WandbTracker(folder, config, labels)
        case "mlflow":
            from dalr.tracking.mlflow import MlflowTracker

            return MlflowTracker(folder, config, labels)
    raise ValueError(f"unknown tracker {name!r}")
