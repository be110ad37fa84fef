"""From a YAML file, or a bundled sweep's name, to a checked specification and its base configs."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from dalr.config.overrides import (
    PATH_KEYS,
    describe,
    field_at,
    known_keys,
    parse_override,
    with_absolute_paths,
    with_overrides,
)
from dalr.config.recipes import RECIPES, load_recipe
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.evaluation.tasks import StsTask, find_task
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Dimension, draw

BUNDLED = Path(__file__).parent / "bundled"
SAMPLES = 32
"""Random points tried before a space counts as one without a single valid config."""


def bundled_specs() -> list[str]:
    """The names of the specifications that come with the package."""
    return sorted(path.stem for path in BUNDLED.glob("*.yaml"))


def load_spec(source: str | Path, overrides: list[str] | None = None) -> SweepSpec:
    """The specification in a file, or the bundled one of that name, with `key=value` words applied:
    keys of the specification (`budget.trials=40`) or of the config (`train.steps=400`).

    Raises:
        InputError: one line that names the file, the key, and what is allowed.
    """
    path = _find(source)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected the keys of a sweep ({', '.join(SweepSpec.model_fields)})")
    for word in overrides or []:
        _apply(values, *parse_override(word))
    return parse_spec(values, str(path))


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if str(source) in bundled_specs():
        return BUNDLED / f"{source}.yaml"
    near = difflib.get_close_matches(str(source), bundled_specs(), n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"{source}: no such sweep{hint} (expected a YAML file or one of {', '.join(bundled_specs())})")


def _apply(values: dict[str, Any], key: str, value: Any) -> None:
    first, *rest = key.split(".")
    if first in RunConfig.model_fields:
        values["overrides"] = {**(values.get("overrides") or {}), key: value}
    elif first not in SweepSpec.model_fields:
        raise InputError(f"unknown key {key}{_hint(key, [*SweepSpec.model_fields, *known_keys()])}")
    elif not rest:
        values[first] = value
    else:
        part = values.get(first) or {}
        if not isinstance(part, dict) or len(rest) > 1:
            raise InputError(f"{key}: only one key of a part can be set, as in budget.trials=40")
        values[first] = {**part, rest[0]: value}


def _hint(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def parse_spec(values: Mapping[str, Any], where: str = "sweep") -> SweepSpec:
    """A checked specification from plain values; errors begin with `where`."""
    try:
        spec = SweepSpec.model_validate(_with_absolute_values(values))
    except ValidationError as error:
        raise InputError(f"{where}: {'; '.join(_messages(error))}") from error
    try:
        check_spec(spec)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return spec


def _messages(error: ValidationError) -> list[str]:
    found = []
    for detail in error.errors():
        key = ".".join(str(step) for step in detail["loc"])
        if detail["type"] == "extra_forbidden":
            message = f"unknown key {key}{_hint(key.split('.')[-1], list(SweepSpec.model_fields))}"
        elif detail["type"] == "value_error":
            message = f"{key + ': ' if key else ''}{detail['ctx']['error']}"
        elif detail["type"] == "missing":
            message = f"{key} is missing"
        else:
            message = f"{key}: {detail['input']!r}: {detail['msg']}"
        if message not in found:
            found.append(message)
    return found


def _with_absolute_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Paths among recipes, overrides, choices and start points, made absolute: a worker runs in another
    folder."""
    values = dict(values)
    recipes = values.get("recipe")
    if isinstance(recipes, str | list):
        named = [recipes] if isinstance(recipes, str) else recipes
        values["recipe"] = [str(Path(r).absolute()) if r not in RECIPES and Path(str(r)).exists() else r for r in named]
    if isinstance(values.get("overrides"), dict):
        values["overrides"] = _absolute_point(values["overrides"])
    if isinstance(values.get("try_first"), list):
        values["try_first"] = [_absolute_point(p) if isinstance(p, dict) else p for p in values["try_first"]]
    if isinstance(values.get("space"), dict):
        values["space"] = {path: _absolute_choices(path, form) for path, form in values["space"].items()}
    return values


def _absolute(key: str, value: Any) -> Any:
    return str(Path(value).expanduser().absolute()) if key in PATH_KEYS and isinstance(value, str) else value


def _absolute_point(point: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _absolute(key, value) for key, value in point.items()}


def _absolute_choices(path: str, form: Any) -> Any:
    if not isinstance(form, dict) or not isinstance(form.get("choice"), list):
        return form
    return {**form, "choice": [_absolute(path, value) for value in form["choice"]]}


def check_spec(spec: SweepSpec) -> None:
    """What pydantic cannot know: paths, ranges and metrics against the config and the recipes.

    Raises:
        InputError: in one line.
    """
    for path, dimension in spec.space.items():
        check_dimension(path, dimension)
    check_judges(spec)
    for recipe, base in base_configs(spec).items():
        if base.evaluation.data is None:
            raise InputError(f"recipe {recipe}: evaluation.data is not set, so no trial would have a score")
        if spec.scheduler.name != "none" and base.train.eval_every > spec.scheduler.grace_steps:
            raise InputError(
                f"recipe {recipe}: train.eval_every is {base.train.eval_every}, but the scheduler wants a score after "
                f"{spec.scheduler.grace_steps} steps; lower train.eval_every or raise scheduler.grace_steps"
            )
        check_points(spec, base)


def check_judges(spec: SweepSpec) -> None:
    """What trials are judged by is the specification's metric and constraints, for all trials alike."""
    for name in spec.metric:
        check_metric(name, allow_test=spec.allow_test)
    if spec.metric[0] == "seconds":
        raise InputError(
            "metric: the first must be a score, which also chooses a run's best checkpoint; seconds may follow"
        )
    for name in spec.constraints:
        check_metric(name, allow_test=spec.allow_test, what="constraints")
    judge = spec.overrides.get("evaluation.metric", spec.metric[0])
    if judge != spec.metric[0]:
        raise InputError(f"overrides: evaluation.metric: a sweep's trials are judged by its metric, {spec.metric[0]}")


def check_dimension(path: str, dimension: Dimension) -> None:
    """A searched path must be a config key whose own bounds hold the whole range."""
    field = field_at(path)
    if field is None:
        raise InputError(f"space: unknown key {path}{_hint(path, known_keys())}")
    if path.startswith("evaluation."):
        raise InputError(f"space: {path}: what trials are judged by must be the same for all of them")
    for value in dimension.probes():
        if not allowed(path, value):
            raise InputError(f"space: {path}: {value!r} is not allowed; {describe(path)}")


def allowed(path: str, value: Any) -> bool:
    """Whether a config field takes this value. Its bounds lie in its annotation or in its metadata."""
    field = field_at(path)
    if field is None:
        return False
    kinds: list[TypeAdapter[Any]] = [TypeAdapter(field.annotation or Any)]
    if value is not None:
        kinds += [TypeAdapter(Annotated[Any, bound]) for bound in field.metadata]
    try:
        for kind in kinds:
            kind.validate_python(value)
    except (ValidationError, ValueError):
        return False
    return True


def check_metric(name: str, *, allow_test: bool, what: str = "metric") -> None:
    """TASK.SPLIT that training can score; the test split only where it is asked for. `seconds` is a metric too."""
    if name == "seconds":
        return
    task, separator, split = name.rpartition(".")
    if not separator:
        raise InputError(f"{what}: {name!r}: expected TASK.SPLIT, for example STSBenchmark.dev, or seconds")
    found = find_task(task)
    splits = tuple(found.splits) if isinstance(found, StsTask) else ("dev", "test")
    if split not in splits:
        raise InputError(f"{what}: {name!r}: {task} has no split {split!r}; it has: {', '.join(splits)}")
    if split == "test" and not allow_test:
        raise InputError(
            f"{what}: {name} is a test split: a search on it would choose by the numbers that it is later judged by; "
            f"use {task}.dev, or write allow_test: true"
        )


def check_points(spec: SweepSpec, base: RunConfig) -> None:
    """Start points must make valid configs, and so must at least one of a few random ones."""
    import random

    for place, point in enumerate(spec.try_first):
        full = set(point) == set(spec.space)
        try:
            with_overrides(base, point)
        except InputError as error:
            if full:
                raise InputError(f"try_first[{place}]: {error}") from error
    rng = random.Random(0)
    problems: list[str] = []
    for _ in range(SAMPLES):
        try:
            with_overrides(base, draw(spec.space, _RandomTrial(rng)))
            return
        except InputError as error:
            problems.append(str(error))
    raise InputError(f"space: no point of it makes a valid config: {problems[0]}")


class _RandomTrial:
    """Draws uniformly; enough to see whether a space makes sense."""

    def __init__(self, rng: Any) -> None:
        self._rng = rng

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self._rng.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return self._rng.randint(low, high)

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any:
        return self._rng.choice(choices)


def base_configs(spec: SweepSpec) -> dict[str, RunConfig]:
    """Each recipe's complete config with the specification's overrides, its paths absolute."""
    configs = {}
    for recipe in spec.recipe:
        configs[recipe] = with_absolute_paths(with_overrides(load_recipe(recipe), spec.overrides))
    return configs
