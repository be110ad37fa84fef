"""The search space: what may be sampled for each config path, and how a point is drawn.

A point is a mapping from config paths to values. A dimension with `when` exists only where the paths
it names have one of the values it lists, so points of one space may have different paths.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from dalr.config.schema import Part

Scalar = str | int | float | bool | None
Point = dict[str, Any]


class Suggester(Protocol):
    """The part of `optuna.Trial` that drawing a point needs."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int) -> int: ...
    def suggest_categorical(self, name: str, choices: tuple[Scalar, ...]) -> Any: ...


class Dimension(Part):
    """One searched path: exactly one of `log` and `uniform` ([low, high], both ends included), `int`
    ([low, high], both ends included) and `choice` (scalars). `when` maps other paths of the space to
    the value, or the list of values, under which this one is sampled at all.
    """

    log: tuple[float, float] | None = None
    uniform: tuple[float, float] | None = None
    integer: tuple[int, int] | None = Field(default=None, alias="int")
    choice: tuple[Scalar, ...] | None = None
    when: dict[str, Scalar | tuple[Scalar, ...]] = Field(default={})

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [name for name in ("log", "uniform", "integer", "choice") if getattr(self, name) is not None]
        if len(forms) != 1:
            raise ValueError("expected exactly one of log, uniform, int and choice")
        if self.choice is not None:
            if not self.choice or len({(type(value), value) for value in self.choice}) != len(self.choice):
                raise ValueError("choice: expected at least one value, each once")
            return self
        low, high = self.ends
        if low >= high:
            raise ValueError(
                f"{forms[0].replace('integer', 'int')}: the low end {low} is not below the high end {high}"
            )
        if self.log is not None and low <= 0:
            raise ValueError(f"log: the low end {low} is not above 0")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high of a numeric dimension."""
        ends = self.log or self.uniform or self.integer
        assert ends is not None, "a choice has no ends"
        return ends

    @property
    def values(self) -> tuple[Scalar, ...] | None:
        """Every value of a finite dimension; None where there are infinitely many."""
        if self.choice is not None:
            return self.choice
        return tuple(range(self.integer[0], self.integer[1] + 1)) if self.integer is not None else None

    def contains(self, value: Any) -> bool:
        """Whether `value` may be sampled."""
        if self.values is not None:
            return any(type(value) is type(known) and value == known for known in self.values)
        low, high = self.ends
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    @property
    def range_text(self) -> str:
        """The form in which the specification has it: `log: [1e-05, 0.01]`."""
        name, values = next(iter(self.model_dump(by_alias=True, exclude_defaults=True, exclude={"when"}).items()))
        return f"{name}: {list(values)}"

    def probes(self) -> tuple[Scalar, ...]:
        """Values that show whether the whole dimension lies inside a field's bounds."""
        if self.choice is not None:
            return self.choice
        low, high = self.ends
        # A number that is no integer tells a float dimension on an integer field apart.
        return (low, high) if self.integer is not None else (low, high, low + (high - low) / 2.618033)

    def applies(self, point: Mapping[str, Any]) -> bool:
        """Whether this dimension exists at `point`."""
        return all(
            path in point and point[path] in (allowed if isinstance(allowed, tuple) else (allowed,))
            for path, allowed in self.when.items()
        )

    def suggest(self, trial: Suggester, path: str) -> Any:
        """A value from the trial's sampler."""
        if self.choice is not None:
            return trial.suggest_categorical(path, self.choice)
        if self.integer is not None:
            return trial.suggest_int(path, *self.integer)
        low, high = self.ends
        return trial.suggest_float(path, low, high, log=self.log is not None)


Space = Mapping[str, Dimension]


def ordered(space: Space) -> list[str]:
    """The paths, each after the paths its `when` names.

    Raises:
        ValueError: `when` names a path outside the space, or conditions go round in a circle.
    """
    for path, dimension in space.items():
        for other in dimension.when:
            if other not in space:
                raise ValueError(f"{path}: when names {other}, which is not in the space")
    done: list[str] = []
    while len(done) < len(space):
        ready = [path for path in space if path not in done and all(other in done for other in space[path].when)]
        if not ready:
            raise ValueError(f"the conditions of {', '.join(p for p in space if p not in done)} go round in a circle")
        done.extend(ready)
    return done


def draw(space: Space, trial: Suggester) -> Point:
    """One point, define-by-run: a path is suggested only where its condition holds."""
    point: Point = {}
    for path in ordered(space):
        if space[path].applies(point):
            point[path] = space[path].suggest(trial, path)
    return point


def grid(space: Space) -> list[Point]:
    """Every point of a finite space, the last path varying fastest."""
    points: list[Point] = [{}]
    for path in ordered(space):
        dimension = space[path]
        points = [
            {**point, path: value} if dimension.applies(point) else point
            for point in points
            for value in ((dimension.values or ()) if dimension.applies(point) else (None,))
        ]
    return points


def one_at_a_time(space: Space) -> list[Point]:
    """The point of first values, then each path's other values in turn, the rest at its first value."""

    def completed(chosen: Mapping[str, Scalar]) -> Point:
        point: Point = {}
        for path in ordered(space):
            if space[path].applies(point):
                point[path] = chosen.get(path, (space[path].values or (None,))[0])
        return point

    changes = ({path: value} for path in space for value in (space[path].values or ())[1:])
    return list(_distinct(completed(change) for change in itertools.chain([{}], changes)))


def _distinct(points: Iterator[Point]) -> Iterator[Point]:
    seen: list[Point] = []
    for point in points:
        if point not in seen:
            seen.append(point)
            yield point


EDGE = 0.02
"""A best value within this share of its range's end counts as lying on the edge."""


def at_edge(
    space: Space, point: Mapping[str, Any], allowed: Callable[[str, float], bool] = lambda path, value: True
) -> list[str]:
    """One sentence for each path whose value lies at an end of its range (for `log`, of the range of
    logarithms), where a wider range could hold a better one: values beyond that end must be `allowed`.
    An `int` of two values has no inside."""
    import math

    warnings = []
    for path, value in point.items():
        if path not in space:
            continue  # settled by the sweep itself
        dimension = space[path]
        if dimension.choice is not None or (dimension.integer and dimension.integer[1] - dimension.integer[0] < 2):
            continue
        scale = math.log if dimension.log is not None else float
        low, high = (scale(end) for end in dimension.ends)
        position = (scale(value) - low) / (high - low)
        if min(position, 1 - position) <= EDGE:
            end = "low" if position < 0.5 else "high"
            if not allowed(path, _beyond(dimension, end)):
                continue
            shown = f"{value:.4g}" if isinstance(value, float) else value
            warnings.append(f"{path} = {shown} lies at the {end} end of its range {list(dimension.ends)}: widen it")
    return warnings


def _beyond(dimension: Dimension, end: str) -> float:
    """A value a little outside of a range."""
    low, high = dimension.ends
    if dimension.integer is not None:
        return low - 1 if end == "low" else high + 1
    if dimension.log is not None:
        return low / 1.1 if end == "low" else high * 1.1
    return low - (high - low) / 10 if end == "low" else high + (high - low) / 10
