"""A sweep's specification: read from YAML, validated like a config, frozen.

The keys and their meaning are the fields of `SweepSpec`. Everything that decides which points are
drawn and what they are worth goes into `study_key`; budget, resources and reruns may change between
two starts of the same sweep.
"""

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dalr.config.schema import Part
from dalr.statistics.contrasts import MARGIN, check_contrast
from dalr.sweeps.spec.parts import (
    FIXED_DESIGNS,
    Bound,
    BudgetSpec,
    Direction,
    ResourceSpec,
    SamplerSpec,
    SchedulerSpec,
    SeedSpec,
    StopSpec,
)
from dalr.sweeps.spec.space import Dimension, Point, grid, one_at_a_time, ordered
from dalr.sweeps.spec.study_key import key_of

ARM = "arm"
"""The dimension of a point that names its arm."""

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class SweepSpec(Part):
    """One search."""

    recipe: Names = Field(
        description="a recipe's name or a config file; several are compared, each with the whole budget"
    )
    overrides: dict[str, Any] = Field(default={}, description="config paths and values that all trials have")
    arms: dict[str, dict[str, Any]] = Field(
        default={},
        description="named settings to compare, each a mapping from config paths to values (empty: the recipe as it "
        "is). The arm is one more dimension, beside those of space; the design is a grid unless a sampler is named, "
        "every arm gets every seed unless seeds says otherwise, and each run is scored on the recipe's tasks",
    )
    contrasts: dict[str, dict[str, float]] = Field(
        default={},
        description="what is planned to be tested between arms: a name, and the arms' weights, which sum to zero; a "
        "report tests them as one family for each point of the space. The first arm is the reference of its table",
    )
    equivalence_margin: float = Field(
        default=MARGIN, gt=0, description="points within which a report tests arms for equivalence"
    )
    space: dict[str, Dimension] = Field(default={}, description="what is searched, by config path")
    metric: Names = Field(
        default=("STSBenchmark.dev",),
        description="TASK.SPLIT; several make a Pareto front. A test split is refused without allow_test",
    )
    direction: Annotated[tuple[Direction, ...], Field(min_length=1)] = Field(
        default=("maximize",), description="maximize or minimize; one for each metric, or one for all"
    )
    sampler: SamplerSpec = Field(default=SamplerSpec(), description="how points are drawn")
    scheduler: SchedulerSpec = Field(default=SchedulerSpec(), description="what is stopped early")
    budget: BudgetSpec = Field(default=BudgetSpec(), description="what ends the search")
    stop: StopSpec = Field(default=StopSpec(), description="what ends it before its budget does")
    seeds: SeedSpec = Field(default=SeedSpec(), description="seeds of a point, and of the final runs")
    resources: ResourceSpec = Field(default=ResourceSpec(), description="what a trial uses, and where it runs")
    try_first: tuple[Point, ...] = Field(
        default=(), description="points that are run before any is drawn; paths that they leave out are drawn"
    )
    constraints: dict[str, Bound] = Field(
        default={}, description="bounds of reported metrics, or of seconds; a point outside never wins"
    )
    allow_test: bool = Field(default=False, description="allows metrics and constraints on test splits")
    keep_models: Literal["all", "best", "none"] = Field(
        default="best", description="which exported models stay: all, those of the best points, none"
    )
    storage: str | None = Field(
        default=None, description="the URL of a database, as Optuna takes it; null: study.db in the sweep's folder"
    )
    report_to: tuple[str, ...] = Field(
        default=(), description="trackers to which each seed's run of each trial is sent as a run of its own"
    )

    @model_validator(mode="before")
    @classmethod
    def _arms_are_a_design(cls, values: Any) -> Any:
        """A comparison of arms that says nothing else runs every arm with every seed."""
        if isinstance(values, dict) and values.get("arms"):
            values = {"sampler": {"name": "grid"}, **values}
            if isinstance(seeds := values.get("seeds", {}), dict):
                values["seeds"] = {"race": False, **seeds}
        return values

    @field_validator("recipe", "metric", "direction", "report_to", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.arms and ARM in self.space:
            raise ValueError(f"space: {ARM} is the name of the dimension that arms are")
        ordered(self.searched)
        for name, weights in self.contrasts.items():
            try:
                check_contrast(name, weights, self.arms)
            except ValueError as error:
                raise ValueError(f"contrasts: {error}") from error
        if len(set(self.recipe)) != len(self.recipe) or len(set(self.metric)) != len(self.metric):
            raise ValueError("recipe and metric must not name one twice")
        if len(self.direction) not in (1, len(self.metric)):
            raise ValueError(f"direction: expected 1 or {len(self.metric)}, one for each metric")
        if len(self.metric) > 1 and self.scheduler.name != "none":
            raise ValueError("scheduler: several metrics have no order to stop by; use {name: none}")
        if len(self.metric) > 1 and self.sampler.name == "cmaes":
            raise ValueError("sampler: cmaes searches one metric; use tpe, gp or nsgaii for a Pareto front")
        if len(self.metric) > 1 and (self.stop.target is not None or self.stop.plateau):
            raise ValueError("stop: several metrics have no single best; only failures can end a Pareto search")
        if self.scheduler.name == "wilcoxon" and 0.5**self.seeds.per_trial >= self.scheduler.p_threshold:
            least = math.floor(math.log(1 / self.scheduler.p_threshold, 2)) + 1
            raise ValueError(
                f"scheduler: wilcoxon compares points seed by seed, and {self.seeds.per_trial} seeds never reach "
                f"p < {self.scheduler.p_threshold:g}; set seeds.per_trial to at least {least}"
            )
        if self.resources.on_oom == "accumulate" and "train.accumulate" in self.searched:
            raise ValueError("resources: on_oom: accumulate doubles train.accumulate, which the space searches")
        if self.budget.endless and self.sampler.name not in FIXED_DESIGNS:
            raise ValueError("budget: expected at least one of trials, hours and gpu_hours")
        if "train.seed" in self.space and (self.seeds.per_trial > 1 or self.seeds.final):
            raise ValueError("seeds: per_trial must be 1 and final 0 where the space holds train.seed")
        self._check_fixed_design()
        for place, point in enumerate(self.try_first):
            for path, value in point.items():
                if path not in self.searched or not self.searched[path].contains(value):
                    raise ValueError(f"try_first[{place}]: {path}: {value!r} does not lie in the space")
        return self

    def _check_fixed_design(self) -> None:
        if self.sampler.name in FIXED_DESIGNS:
            endless = [path for path, dimension in self.searched.items() if dimension.values is None]
            if endless:
                raise ValueError(f"sampler: {self.sampler.name} needs finite dimensions, but {endless[0]} is not")

    @property
    def directions(self) -> tuple[Direction, ...]:
        """One for each metric."""
        return self.direction if len(self.direction) == len(self.metric) else self.direction * len(self.metric)

    @property
    def searched(self) -> dict[str, Dimension]:
        """Every dimension of a point: the arm, where there are arms, and those of the space."""
        return {**({ARM: Dimension(choice=tuple(self.arms))} if self.arms else {}), **self.space}

    def settings(self, point: Mapping[str, Any]) -> Point:
        """The config values of a point: those of its arm, then its own."""
        own = {path: value for path, value in point.items() if path != ARM or not self.arms}
        return {**self.arms.get(point.get(ARM, ""), {}), **own}

    def design(self) -> list[Point] | None:
        """Every point of a fixed design, `try_first` ahead; None for a sampler that draws."""
        if self.sampler.name not in FIXED_DESIGNS:
            return None
        points = (grid if self.sampler.name == "grid" else one_at_a_time)(self.searched)
        first = [dict(point) for point in self.try_first]
        return first + [point for point in points if point not in first]

    def short_name(self, recipe: str) -> str:
        """What files and studies of a recipe are called by: its name or its file's, with its place among the recipes
        where two files have the same."""
        names = [PurePath(name).name for name in self.recipe]
        place = self.recipe.index(recipe)
        return names[place] if names.count(names[place]) == 1 else f"{names[place]}-{place}"

    def study_key(self, *, places: bool = False) -> str:
        """12 hex digits that change with everything that decides the trials' points and values: where recipes,
        data and models lie does not (unless `places`); the studies compare what they contain."""
        return key_of(self.dump(), places=places)

    def dump(self) -> dict[str, Any]:
        """The specification as plain values, in the form in which it is read."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        # A null among the values is a value; only keys that are not set are left out.
        values["overrides"] = self.model_dump(mode="json")["overrides"]
        values["try_first"] = self.model_dump(mode="json")["try_first"]
        for key in ("arms", "contrasts", "equivalence_margin"):
            values.pop(key)
        if self.arms:
            values["arms"] = self.model_dump(mode="json")["arms"]
        if self.contrasts:
            values |= {"contrasts": self.contrasts, "equivalence_margin": self.equivalence_margin}
        values["space"] = {
            path: dimension.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for path, dimension in self.space.items()
        }
        for key in ("recipe", "metric", "direction"):
            values[key] = values[key][0] if len(values[key]) == 1 else values[key]
        return values
