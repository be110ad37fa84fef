"""What a worker is told: a search trial, or a final run, with all that its config depends on."""

from dataclasses import dataclass
from typing import Any

from dalr.config.schema import RunConfig
from dalr.identity import Contents
from dalr.sweeps.search.configs import run_config
from dalr.sweeps.search.records import RunRecord, Task
from dalr.sweeps.spec.schema import SweepSpec
from dalr.tracking import service_settings

ACCUMULATE = "train.accumulate"
"""The setting that is doubled where a trial ran out of memory; the objective stays the same."""


@dataclass(frozen=True)
class Place:
    """The GPUs of one worker, and Ray's label selector for its node."""

    gpus: float
    labels: dict[str, str]


class TaskMaker:
    """Makes the tasks of one sweep in the folder `out`."""

    def __init__(self, spec: SweepSpec, contents: Contents, out: str) -> None:
        self._spec, self._contents, self._out = spec, contents, out

    def make(
        self, name: str, recipe: str, base: RunConfig, point: dict[str, Any], runs: tuple[RunRecord, ...], place: Place
    ) -> Task:
        """The task of training `runs` at `point`."""
        resources, spec = self._spec.resources, self._spec
        extra = dict.fromkeys([*spec.metric[1:], *spec.constraints])
        settings, dumped = spec.settings(point), base.dump()
        return Task(
            name=name,
            out=self._out,
            recipe=recipe,
            base=dumped,
            point=settings,
            contents=dict(self._contents.identity(run_config(dumped, settings, None)).contents),
            runs=[run.dump() for run in runs],
            metrics=list(spec.metric),
            extra_metrics=[metric for metric in extra if metric not in ("seconds", spec.metric[0])],
            workers=resources.workers,
            cpus=resources.cpus,
            gpus=place.gpus,
            report_to=list(spec.report_to),
            environment=service_settings(spec.report_to),
            labels=place.labels,
            anew=resources.on_oom == "accumulate" and ACCUMULATE in point,
        )
