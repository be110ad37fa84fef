"""The trackers of a trial's runs: each seed's run is a run of its own there, grouped by sweep and trial."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from dalr.config.schema import RunConfig
from dalr.files import uri_of
from dalr.sweeps.execution.place import storage_of
from dalr.sweeps.search.records import Task, run_folder, run_name
from dalr.tracking import make_trackers
from dalr.tracking.labels import Labels, note_ending
from dalr.tracking.tracker import Tracker


def labels_of(task: Task, seed: int) -> Labels:
    """What a tracker is told of one seed's run of a task."""
    kind = "final" if task.name.startswith("final-") else "search"
    point = {f"point.{path}": value for path, value in task.point.items()}
    return Labels(
        name=run_name(task.name, seed),
        group=Path(urlsplit(task.out).path).name,
        subgroup=task.name,
        place=Path(task.out) if uri_of(task.out) is None else storage_of(task, seed).folder.path,
        tags=(kind, f"recipe {Path(task.recipe).name}", f"seed {seed}"),
        values={"kind": kind, "recipe": task.recipe, "seed": seed, **point},
    )


def trackers_of(task: Task, seed: int, config: RunConfig) -> list[Tracker]:
    """The trackers that the sweep's specification names, for one seed's run."""
    os.environ.update(task.environment)
    return make_trackers(task.report_to, storage_of(task, seed).folder, config, labels_of(task, seed))


def note_endings(task: Task, state: str, reason: str | None) -> None:
    """Lets the trackers of a task's runs know how the sweep has decided that they end; where these lie in mirrors, on
    whatever node, it cannot."""
    if not task.report_to or uri_of(task.out) is not None:
        return
    for run in task.runs:
        folder = run_folder(Path(task.out), task.name, run["seed"])
        if folder.is_dir():
            note_ending(folder, state, reason)
