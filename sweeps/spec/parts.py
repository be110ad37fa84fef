"""The parts of a sweep's specification: sampler, scheduler, budget, stopping rules, seeds, resources, constraints."""

import math
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from dalr.config.fields import OneOf, Part
from dalr.extensions import added

Direction = Literal["maximize", "minimize"]
Sampler = Literal[
    "tpe", "multivariate_tpe", "gp", "cmaes", "nsgaii", "nsgaiii", "random", "qmc", "grid", "one_at_a_time"
]
"""The package's own samplers; `samplers` has the user's, too."""
FIXED_DESIGNS: tuple[Sampler, ...] = ("grid", "one_at_a_time")
AUTO = (
    "auto is no sampler here: Optuna's AutoSampler is code that OptunaHub downloads when it is used, and a sweep that "
    "goes on could draw other points; it would choose gp for up to some 250 trials of numbers, tpe where there are "
    "choices or conditions, cmaes for more trials of numbers, nsgaii for several metrics"
)


def samplers() -> tuple[str, ...]:
    """Every sampler's name, those of the user's own modules last."""
    return (*get_args(Sampler), *added("sampler"))


class SamplerSpec(Part):
    """How points are drawn."""

    name: Annotated[str, OneOf(samplers)] = Field(
        default="tpe",
        description="tpe, multivariate_tpe, gp (Gaussian process), cmaes, nsgaii, nsgaiii (genetic, for several "
        "metrics), random, qmc (Sobol); or a fixed design: grid (every point of a finite space), one_at_a_time (first "
        "values, then each other value in turn)",
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="trial n's point is a function of this, n, and the results so far"
    )
    startup: int = Field(
        default=10,
        ge=1,
        description="random trials before tpe, gp and cmaes learn; further draws wait for their results. Where more "
        "trials run at once, so many are random",
    )
    population: int = Field(default=50, ge=2, description="trials of one generation of nsgaii and nsgaiii")

    @field_validator("name", mode="before")
    @classmethod
    def _not_auto(cls, value: Any) -> Any:
        if value in ("auto", "AutoSampler", "autosampler"):
            raise ValueError(AUTO)
        return value


class SchedulerSpec(Part):
    """What is stopped early."""

    name: Literal["none", "asha", "hyperband", "median", "wilcoxon"] = Field(
        default="none",
        description="none; asha (at steps grace_steps · reduction^k only the best 1/reduction go on); hyperband (ASHA "
        "from several first steps, a share of the trials each); median (stopped below the median of earlier trials at "
        "the same step, from grace_steps on); wilcoxon (a point gets no further seed when it is worse than the best "
        "one, seed by seed)",
    )
    grace_steps: int = Field(
        default=1, ge=1, description="the first step at which a trial may be stopped; at least train.eval_every"
    )
    reduction: int = Field(
        default=3, ge=2, description="see asha; for median, so many trials come before any is stopped"
    )
    p_threshold: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="wilcoxon: a point is worse below this p of the signed-rank test",
    )

    @property
    def by_steps(self) -> bool:
        """Whether trials are stopped by their scores at steps."""
        return self.name in ("asha", "hyperband", "median")

    def brackets(self, steps: int) -> list[tuple[int, float]]:
        """The first steps at which trials of `steps` may be stopped, each with the share of the trials that have it."""
        if self.name == "asha":
            return [(self.grace_steps, 1.0)]
        if self.name != "hyperband":
            return []
        # As optuna.pruners.HyperbandPruner cuts them, by Li et al. 2018, algorithm 1.
        count = math.floor(math.log(max(steps / self.grace_steps, 1), self.reduction)) + 1
        sizes = [math.ceil(count * self.reduction**s / (s + 1)) for s in reversed(range(count))]
        return [(self.grace_steps * self.reduction**k, size / sum(sizes)) for k, size in enumerate(sizes)]

    def rungs(self, steps: int) -> list[int]:
        """The steps below `steps` at which ASHA and Hyperband decide."""
        return sorted({rung for first, _ in self.brackets(steps) for rung in self._rungs(first, steps)})

    def _rungs(self, first: int, steps: int) -> list[int]:
        rungs = []
        while first < steps:
            rungs.append(first)
            first *= self.reduction
        return rungs

    def expected_steps(self, steps: int) -> float:
        """The mean steps of a trial of `steps`, where 1 in `reduction` passes each rung."""
        return sum(share * self._expected(first, steps) for first, share in self.brackets(steps) or [(steps, 1.0)])

    def _expected(self, first: int, steps: int) -> float:
        ends = [*self._rungs(first, steps), steps]
        begins = [0, *ends]
        return sum((end - begin) / self.reduction**k for k, (begin, end) in enumerate(zip(begins, ends, strict=False)))


class BudgetSpec(Part):
    """What ends the search, whichever comes first. Final runs come on top."""

    trials: int | None = Field(default=None, ge=1, description="trials of each recipe")
    hours: float | None = Field(default=None, gt=0, description="hours of wall clock, over all starts of the sweep")
    gpu_hours: float | None = Field(
        default=None, gt=0, description="each recipe's training seconds · workers · GPUs of a worker, over all starts"
    )

    @property
    def endless(self) -> bool:
        """Whether nothing ends the search."""
        return self.trials is None and self.hours is None and self.gpu_hours is None


class PlateauSpec(Part):
    """No improvement in a number of complete trials in a row."""

    trials: int = Field(ge=1, description="so many complete trials in a row without a better one")
    min_improvement: float = Field(default=0.0, ge=0, description="better by more than so many points of the metric")


class StopSpec(Part):
    """What ends a recipe's search before its budget does; running trials are finished, and the final runs follow."""

    target: float | None = Field(default=None, description="a complete trial is at least so good")
    plateau: PlateauSpec | None = Field(default=None, description="no improvement in so many trials")
    failures: int | None = Field(
        default=None, ge=1, description="so many trials in a row have failed, so that one bug does not use up a night"
    )


class SeedSpec(Part):
    """How many seeds a point gets, in the search and in the final runs."""

    per_trial: int = Field(default=1, ge=1, description="seeds of each point; its value is their mean")
    race: bool = Field(
        default=True,
        description="a point gets its second and later seeds only while it is among the best third so far",
    )
    final: int = Field(
        default=0, ge=0, description="fresh seeds for the best points and the base recipe when the search has ended"
    )
    final_top: int = Field(default=1, ge=1, description="so many best points are run again")


class ResourceSpec(Part):
    """What one trial uses, and where it runs."""

    workers: int = Field(default=1, ge=1, description="processes of a trial")
    cpus: float = Field(default=1, gt=0, description="CPUs of a worker")
    gpus: float | None = Field(
        default=None,
        ge=0,
        description="GPUs of a worker: a whole number, or a part of one (0.25 lets four trials share a card); null: "
        "one, where the cluster has any",
    )
    accelerator: str | None = Field(
        default=None, min_length=1, description="the type of GPU that trials run on, as Ray names it (A100, H100, L4)"
    )
    concurrent: int | None = Field(default=None, ge=1, description="trials at once; null: as many as fit")
    timeout_minutes: float = Field(default=60, gt=0, description="a trial that reports nothing for so long fails")
    on_oom: Literal["fail", "accumulate"] = Field(
        default="fail",
        description="a trial that runs out of memory fails, or is begun again, once, with train.accumulate doubled",
    )

    @model_validator(mode="after")
    def _gpus_add_up(self) -> Self:
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus: {self.gpus:g}: above 1 Ray gives whole GPUs only")
        if self.accelerator is not None and self.gpus == 0:
            raise ValueError("accelerator: a GPU type for trials without a GPU (gpus: 0)")
        return self


class Bound(Part):
    """What a metric of the finished run must satisfy."""

    min: float | None = Field(default=None, description="at least so much")
    max: float | None = Field(default=None, description="at most so much")

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("expected min, max or both")
        return self

    def violation(self, value: float) -> float:
        """How far `value` lies outside; 0 or less inside (Optuna's convention)."""
        sides = []
        if self.min is not None:
            sides.append(self.min - value)
        if self.max is not None:
            sides.append(value - self.max)
        return max(sides)
