"""The parts of a sweep's specification: sampler, scheduler, budget, stopping rules, seeds, resources, constraints."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from dalr.config.fields import OneOf, Part
from dalr.extensions import added

Direction = Literal["maximize", "minimize"]
Sampler = Literal["tpe", "multivariate_tpe", "cmaes", "random", "qmc", "grid", "one_at_a_time"]
"""The package's own samplers; `samplers` has the user's, too."""
FIXED_DESIGNS: tuple[Sampler, ...] = ("grid", "one_at_a_time")


def samplers() -> tuple[str, ...]:
    """Every sampler's name, those of the user's own modules last."""
    return (*get_args(Sampler), *added("sampler"))


class SamplerSpec(Part):
    """How points are drawn: `tpe`, `multivariate_tpe`, `cmaes`, `random`, `qmc` (Sobol), or a fixed
    design: `grid` (every point of a finite space) or `one_at_a_time` (first values, then each other
    value in turn). `startup` trials are random before `tpe` and `cmaes` learn from results: while so many
    run or have ended without a result yet, no other is drawn. It should be at least the number of trials
    that run at once; otherwise places stay empty at the start.
    """

    name: Annotated[str, OneOf(samplers)] = "tpe"
    seed: int = Field(default=0, ge=0, lt=2**31)
    startup: int = Field(default=10, ge=1)


class SchedulerSpec(Part):
    """What is stopped early: nothing (`none`), trials outside the best 1/`reduction` at steps
    `grace_steps` · `reduction`^k (`asha`), or below the median of earlier trials at the same step
    (`median`, from `grace_steps` on)."""

    name: Literal["none", "asha", "median"] = "none"
    grace_steps: int = Field(default=1, ge=1)
    reduction: int = Field(default=3, ge=2)

    def rungs(self, steps: int) -> list[int]:
        """The steps at which ASHA decides, below `steps`."""
        if self.name != "asha":
            return []
        rungs, step = [], self.grace_steps
        while step < steps:
            rungs.append(step)
            step *= self.reduction
        return rungs

    def expected_steps(self, steps: int) -> float:
        """The mean steps of a trial of `steps`, where 1 in `reduction` passes each of ASHA's rungs."""
        ends = [*self.rungs(steps), steps]
        begins = [0, *ends]
        return sum((end - begin) / self.reduction**k for k, (begin, end) in enumerate(zip(begins, ends, strict=False)))


class BudgetSpec(Part):
    """Whichever ends first: `trials` a recipe, `hours` of wall clock over all starts of the sweep,
    `gpu_hours` a recipe (training seconds · workers · GPUs of a worker). Final reruns come on top."""

    trials: int | None = Field(default=None, ge=1)
    hours: float | None = Field(default=None, gt=0)
    gpu_hours: float | None = Field(default=None, gt=0)

    @property
    def endless(self) -> bool:
        """Whether nothing ends the search."""
        return self.trials is None and self.hours is None and self.gpu_hours is None


class PlateauSpec(Part):
    """`trials` complete trials in a row without one that is better than the best before by more than
    `min_improvement` points of the metric."""

    trials: int = Field(ge=1)
    min_improvement: float = Field(default=0.0, ge=0)


class StopSpec(Part):
    """What ends a recipe's search before its budget does; running trials are finished, and the final reruns
    follow.

    `target`: a complete trial is at least so good. `plateau`: no improvement in so many trials. `failures`: so
    many trials in a row have failed, so that one bug does not use up a night.
    """

    target: float | None = None
    plateau: PlateauSpec | None = None
    failures: int | None = Field(default=None, ge=1)


class SeedSpec(Part):
    """`per_trial` seeds for each point; with `race` a point gets its second and later ones only while
    it is among the best third so far. `final` fresh seeds for the `final_top` best points and the base
    recipe when the search has ended (0: no rerun)."""

    per_trial: int = Field(default=1, ge=1)
    race: bool = True
    final: int = Field(default=0, ge=0)
    final_top: int = Field(default=1, ge=1)


class ResourceSpec(Part):
    """What one trial uses: `workers` processes with `cpus` and `gpus` each (`gpus` null: one, where the
    cluster has any). `concurrent` limits the
    trials that run at once (null: as many as fit). A trial that reports nothing for
    `timeout_minutes` fails."""

    workers: int = Field(default=1, ge=1)
    cpus: float = Field(default=1, gt=0)
    gpus: float | None = Field(default=None, ge=0)
    concurrent: int | None = Field(default=None, ge=1)
    timeout_minutes: float = Field(default=60, gt=0)


class Bound(Part):
    """What a metric of the finished run must satisfy."""

    min: float | None = None
    max: float | None = None

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
