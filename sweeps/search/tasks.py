"""What a worker is told: a search trial, or a final run, with all that its config depends on."""

from dataclasses import dataclass

from dalr.sweeps.search.points import ACCUMULATE, PointRuns
from dalr.sweeps.search.records import RunRecord, Task
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Point
from dalr.tracking import service_settings


@dataclass(frozen=True)
class Place:
    """The GPUs of one worker, and Ray's label selector for its node."""

    gpus: float
    labels: dict[str, str]


class TaskMaker:
    """Makes the tasks of one sweep in the folder `out`."""

    def __init__(self, spec: SweepSpec, out: str) -> None:
        self._spec, self._out = spec, out

    def make(
        self, name: str, recipe: str, points: PointRuns, point: Point, runs: tuple[RunRecord, ...], place: Place
    ) -> Task:
        """The task of training `runs` at `point`, one of `points`."""
        resources, spec = self._spec.resources, self._spec
        extra = dict.fromkeys([*spec.metric[1:], *spec.constraints])
        return Task(
            name=name,
            out=self._out,
            recipe=recipe,
            base=points.base,
            point=spec.settings(point),
            contents=dict(points.identity(point).contents),
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
