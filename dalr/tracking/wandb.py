"""Weights & Biases, as its own variables say: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_API_KEY."""

import os
import uuid
from collections.abc import Mapping

from dalr.tracking.tracker import State, Tracker


class WandbTracker(Tracker):
    """One W&B run in the project WANDB_PROJECT (default `dalr`), named as the run's folder, its local
    files below it; resumed under its id. With WANDB_MODE=offline every attempt leaves a folder of its
    own, and `wandb sync --append` joins them."""

    name = "wandb"

    def open(self, step: int) -> int:
        """See `Tracker`."""
        import wandb

        known, labels = self.known_id(), self.labels
        name = known or uuid.uuid4().hex[:8]
        sweep = {} if labels is None else {"sweep": {"trial": labels.subgroup, **labels.values}}
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "dalr",
            id=name,
            name=self.display_name,
            resume="allow",
            dir=str(self.folder.path),
            config={**self.config.dump(), **sweep},
            group=labels and labels.group,
            job_type=labels and labels.subgroup,
            tags=labels and list(labels.tags),
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.remember_id(name)
        # W&B cannot be asked when it is offline; an attempt logs a line and then sends it.
        return 0 if known is None else self.lines_before

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log(dict(metrics), step=step)

    def describe_end(self, state: str, reason: str) -> None:
        """See `Tracker`."""
        states = {f"state {known}" for known in ("complete", "pruned", "stopped", "failed", "unfinished")}
        self._run.tags = (*(tag for tag in self._run.tags or () if tag not in states), f"state {state}")
        self._run.summary["state"], self._run.summary["reason"] = state, reason

    def close(self, state: State) -> None:
        """See `Tracker`."""
        self._run.finish(exit_code=1 if state == "failed" else 0)
