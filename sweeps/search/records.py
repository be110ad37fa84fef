"""The records of a sweep: a run of one seed, a trial of one point, and what a worker is told and says."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

REPORT_KEY = "report"
TUNE_METRIC = "value"
RUNS = "runs"
"""The folder of a sweep in which its runs lie."""

State = Literal["running", "complete", "pruned", "stopped", "skipped", "failed"]
"""`stopped` and `skipped` are a person's decisions: a trial that had begun, one that had not."""

Intent = Literal["paused", "stopped", "skipped"]
"""What a person wants of a trial that has not ended."""


@dataclass(frozen=True)
class RunRecord:
    """One run of a trial: `value` is its best score so far (the first metric), `values` all metrics
    once it is complete. `seconds` are wall seconds spent on it over all attempts, of which
    `seconds_before` belong to earlier ones than `attempt`."""

    seed: int
    fingerprint: str
    state: State = "running"
    reason: str | None = None
    value: float | None = None
    values: tuple[float, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    attempt: str = ""
    seconds_before: float = 0.0

    def at(self, report: "Report") -> "RunRecord":
        """The record after a worker's report."""
        before = self.seconds_before if report.attempt == self.attempt else self.seconds
        return replace(
            self,
            state=report.state,
            reason=report.reason,
            value=self.value if report.best is None else report.best,
            values=report.values or self.values,
            steps=report.step,
            seconds=before + report.seconds,
            attempt=report.attempt,
            seconds_before=before,
        )

    def dump(self) -> dict[str, Any]:
        """Plain values, for the database."""
        return asdict(self)

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> "RunRecord":
        """The record that `dump` wrote."""
        return cls(**{**values, "values": tuple(values["values"])})


@dataclass(frozen=True)
class TrialRecord:
    """One point of one recipe's search; `number` is its number in the whole sweep. `point_id` is the
    same for identical points. `violation` sums the constraints that its runs break (0: none). `scores`
    are the first seed's evaluations by step, of a search with one metric. `added` is the request by which a
    person added it, `intent` what a person wants of it while it has not ended. `settles`: whether another trial of
    the same point would end the same way; a lack of memory beside other trials does not say so."""

    number: int
    recipe: str
    point: dict[str, Any]
    point_id: str
    state: State
    runs: tuple[RunRecord, ...]
    reason: str | None = None
    violation: float = 0.0
    scores: Mapping[int, float] = field(default_factory=dict)
    added: str | None = None
    intent: Intent | None = None
    settles: bool = True

    @property
    def name(self) -> str:
        """The first part of its runs' folders."""
        return f"trial-{self.number:04d}"

    @property
    def paused(self) -> bool:
        """Whether it has left its worker, or is about to, until a person lets it go on."""
        return self.state == "running" and self.intent == "paused"

    @property
    def values(self) -> tuple[float, ...]:
        """Each metric's mean over the complete runs; empty where there is none."""
        done = [run.values for run in self.runs if run.state == "complete" and run.values]
        return tuple(fmean(column) for column in zip(*done, strict=True))

    @property
    def best_so_far(self) -> float | None:
        """The mean over runs of their best scores of the first metric, finished or not."""
        values = [run.value for run in self.runs if run.value is not None]
        return fmean(values) if values else None

    @property
    def seconds(self) -> float:
        return sum(run.seconds for run in self.runs)


@dataclass(frozen=True)
class Task:
    """What a worker is asked to do: the runs of one trial, or one final run.

    `out` is the sweep's folder, or the URI of one, `base` the recipe's complete config, `point` what the sampler
    chose, `contents` what the sweep knows of the data and models at that point; each run's `fingerprint` is the one
    which the worker must arrive at by itself. `extra_metrics` are scored with the exported model when a run ends.
    `report_to` are trackers, `environment` their own variables. `labels` is Ray's selector for the nodes of several
    workers; `anew`: what another config has left in a run's folder is removed.
    """

    name: str
    out: str
    recipe: str
    base: dict[str, Any]
    point: dict[str, Any]
    contents: dict[str, str]
    runs: list[dict[str, Any]]
    metrics: list[str]
    extra_metrics: list[str] = field(default_factory=list)
    workers: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    report_to: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    anew: bool = False


@dataclass(frozen=True)
class Report:
    """What a worker says: the state of one seed's run after `step` of `total` steps. `score` is the
    evaluation just made (None: none was), `best` the best so far, `metrics` everything measured. `left`: the run
    was asked to save and leave, and has done so."""

    seed: int
    attempt: str
    step: int
    seconds: float
    state: State = "running"
    score: float | None = None
    best: float | None = None
    values: tuple[float, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    total: int = 0
    last: bool = False
    left: bool = False

    def dump(self) -> dict[str, Any]:
        """The result that goes through Tune. One string: Tune would flatten and copy anything else. The
        number beside it is what Tune insists on seeing of a metric."""
        return {REPORT_KEY: json.dumps(asdict(self)), TUNE_METRIC: math.nan if self.best is None else self.best}

    @classmethod
    def load(cls, result: Mapping[str, Any]) -> "Report":
        """The report in a Tune result."""
        values = json.loads(result[REPORT_KEY])
        return cls(**{**values, "values": tuple(values["values"])})


def fate_of(runs: Sequence[RunRecord]) -> tuple[State, str | None] | None:
    """How a trial has ended whose runs have all said so, which a kill kept from being written down; None: some run
    goes on."""
    failed = next((run for run in runs if run.state == "failed"), None)
    if failed is not None:
        return "failed", failed.reason
    return ("complete", None) if runs and all(run.state == "complete" for run in runs) else None


def out_of_memory(reason: str | None) -> bool:
    """Whether a trial failed for lack of memory, by its reason."""
    return reason is not None and reason.startswith("out of memory")


def run_folder(out: Path, trial: str, seed: int) -> Path:
    """Where one seed's run of a trial or final run, by its name, lies in the sweep's folder `out`."""
    return out / RUNS / run_name(trial, seed)


def run_name(trial: str, seed: int) -> str:
    """The folder of one seed's run: `trial-0007-seed-1`."""
    return f"{trial}-seed-{seed}"
