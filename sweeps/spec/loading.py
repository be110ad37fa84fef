"""From a YAML file, or a bundled sweep's name, to a checked specification and its base configs."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dalr.config.keys import PATH_KEYS, as_field_value, field_at, known_keys, meant, unknown_key
from dalr.config.loading import load_config, load_recipe
from dalr.config.overrides import flat_keys, parse_overrides, with_overrides
from dalr.config.recipes import RECIPES
from dalr.config.schema import RunConfig, given_root
from dalr.errors import InputError, did_you_mean
from dalr.evaluation.plan import own_tasks
from dalr.evaluation.tasks import STANDARD, StsTask, Task, find_task
from dalr.sweeps.spec.database_url import refuse_password
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Dimension, Scalar, draw
from dalr.validation import problems
from dalr.yaml_text import read_yaml

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
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected the keys of a sweep ({', '.join(SweepSpec.model_fields)})")
    for key, value in parse_overrides(overrides or []).items():
        _apply(values, key, value)
    return parse_spec(values, str(path))


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    names = bundled_specs()
    if str(source) in names:
        return BUNDLED / f"{source}.yaml"
    hint = did_you_mean(str(source), names, cutoff=0.4)
    raise InputError(f"{source}: no such sweep{hint} (expected a YAML file or one of {', '.join(names)})")


def _apply(values: dict[str, Any], key: str, value: Any) -> None:
    first, *rest = key.split(".")
    if first in RunConfig.model_fields:
        values["overrides"] = {**(values.get("overrides") or {}), key: value}
    elif first not in SweepSpec.model_fields:
        raise InputError(_unknown(key))
    elif not rest:
        values[first] = value
    else:
        part = values.get(first) or {}
        if not isinstance(part, dict) or len(rest) > 1:
            raise InputError(f"{key}: only one key of a part can be set, as in budget.trials=40")
        values[first] = {**part, rest[0]: value}


OTHER_NAMES = {
    "parameters": "space",
    "params": "space",
    "param_space": "space",
    "search_space": "space",
    "hyperparameters": "space",
    "method": "sampler",
    "search_alg": "sampler",
    "algorithm": "sampler",
    "pruner": "scheduler",
    "early_terminate": "scheduler",
    "n_trials": "budget.trials",
    "num_samples": "budget.trials",
    "run_cap": "budget.trials",
    "max_trials": "budget.trials",
    "timeout": "budget.hours",
    "time_budget_s": "budget.hours",
    "max_concurrent_trials": "resources.concurrent",
    "n_jobs": "resources.concurrent",
    "mode": "direction",
    "goal": "direction",
    "directions": "direction",
    "points_to_evaluate": "try_first",
    "enqueue": "try_first",
    "config": "overrides",
    "fixed": "overrides",
    "base": "recipe",
}
"""What Optuna, Ray Tune and Weights & Biases call the keys of a specification."""
OTHER_FORMS = {
    "loguniform": "log: [low, high]",
    "log_uniform": "log: [low, high]",
    "log_uniform_values": "log: [low, high]",
    "distribution": "log, uniform, int or choice",
    "type": "log, uniform, int or choice",
    "min": "uniform: [min, max], or log: [min, max]",
    "max": "uniform: [min, max], or log: [min, max]",
    "low": "uniform: [low, high], or log: [low, high]",
    "high": "uniform: [low, high], or log: [low, high]",
    "float": "uniform: [low, high]",
    "range": "uniform: [low, high]",
    "quniform": "uniform: [low, high]",
    "randint": "int: [low, high]",
    "integer": "int: [low, high]",
    "int_uniform": "int: [low, high]",
    "values": "choice: [a, b]",
    "value": "overrides, for a key that is not searched",
    "choices": "choice: [a, b]",
    "categorical": "choice: [a, b]",
    "grid": "choice: [a, b]",
    "grid_search": "choice: [a, b]",
}
"""How others write a dimension, and how it is written here."""


def _unknown(key: str) -> str:
    """The sentence for a key that a specification does not have."""
    first, _, rest = key.partition(".")
    if first == "space" and (ours := OTHER_FORMS.get(key.rpartition(".")[2])):
        return f"unknown key {key}; write {ours}"
    if first in SweepSpec.model_fields and rest:
        return f"unknown key {key}{did_you_mean(key, _spec_keys())}"
    if first in OTHER_NAMES:
        return f"unknown key {key}; did you mean {OTHER_NAMES[first]}?"
    if meant(key):
        return f"{unknown_key(key)} (under overrides, or key=value on the command line)"
    return unknown_key(key, [*_spec_keys(), *known_keys()])


def _spec_keys() -> list[str]:
    """The keys of a specification, those of its parts with a dot."""
    keys = []
    for name, field in SweepSpec.model_fields.items():
        keys += [name, *(f"{name}.{inner}" for inner in getattr(type(field.default), "model_fields", ()))]
    return keys


def parse_spec(values: Mapping[str, Any], where: str = "sweep") -> SweepSpec:
    """A checked specification from plain values; errors begin with `where`."""
    try:
        spec = SweepSpec.model_validate(_as_fields_hold_them(_with_absolute_values(values)))
        check_spec(spec)
    except ValidationError as error:
        raise InputError(f"{where}: {problems(error, unknown=_unknown)}") from error
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return spec


def _as_fields_hold_them(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of choices, conditions and start points as the config's fields hold them, so that `1` and `1.0`, or
    `1e-4` in quotes, are one value wherever it stands. What a field does not take is left for `check_spec`."""
    values = dict(values)
    if isinstance(values.get("try_first"), list):
        points = values["try_first"]
        values["try_first"] = [{k: _held(k, v) for k, v in p.items()} if isinstance(p, dict) else p for p in points]
    if isinstance(values.get("arms"), dict):
        values["arms"] = {
            name: dict(flat_keys(arm)) if isinstance(arm, dict) else arm for name, arm in values["arms"].items()
        }
    if isinstance(values.get("space"), dict):
        values["space"] = {path: _held_form(path, form) for path, form in values["space"].items()}
    return values


def _held_form(path: str, form: Any) -> Any:
    if not isinstance(form, dict):
        return form
    form = dict(form)
    if isinstance(form.get("choice"), list):
        form["choice"] = [_held(path, value) for value in form["choice"]]
    if isinstance(form.get("when"), dict):
        form["when"] = {
            other: [_held(other, value) for value in wanted] if isinstance(wanted, list) else _held(other, wanted)
            for other, wanted in form["when"].items()
        }
    return form


def _held(key: str, value: Any) -> Any:
    try:
        held = as_field_value(key, value)
    except ValueError:
        return value
    return held if isinstance(held, Scalar) else value


def _with_absolute_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Paths among recipes, overrides, choices and start points, made absolute: a worker runs in another folder.
    Relative ones lie under `data.root` where the specification, its recipe's file or DALR_DATA sets that, else in the
    working directory."""
    values = dict(values)
    recipes = values.get("recipe")
    if isinstance(recipes, str | list):
        named = [recipes] if isinstance(recipes, str) else recipes
        values["recipe"] = [str(Path(r).absolute()) if r not in RECIPES and Path(str(r)).exists() else r for r in named]
    base = _data_root(values) or Path.cwd()
    if isinstance(values.get("overrides"), dict):
        values["overrides"] = _absolute_point(values["overrides"], base)
    if isinstance(values.get("try_first"), list):
        values["try_first"] = [_absolute_point(p, base) if isinstance(p, dict) else p for p in values["try_first"]]
    if isinstance(values.get("arms"), dict):
        arms = values["arms"]
        values["arms"] = {name: _absolute_point(a, base) if isinstance(a, dict) else a for name, a in arms.items()}
    if isinstance(values.get("space"), dict):
        values["space"] = {path: _absolute_choices(path, form, base) for path, form in values["space"].items()}
    return values


def _data_root(values: Mapping[str, Any]) -> Path | None:
    """The folder that relative paths of a specification are under, where one is set."""
    overrides = values.get("overrides")
    own = dict(flat_keys(overrides)).get("data.root") if isinstance(overrides, dict) else None
    if isinstance(own, str):
        return Path(own).expanduser().absolute()
    recipes = values.get("recipe")
    for recipe in recipes if isinstance(recipes, list) else [recipes]:
        if isinstance(recipe, str) and recipe not in RECIPES and Path(recipe).exists():
            root = load_recipe(recipe).data.root
            if root is not None:
                return Path(root)
    return given_root()


def _absolute(key: str, value: Any, base: Path) -> Any:
    if key not in PATH_KEYS or not isinstance(value, str):
        return value
    return str((Path.cwd() if key == "data.root" else base) / Path(value).expanduser())


def _absolute_point(point: Mapping[str, Any], base: Path, prefix: str = "") -> dict[str, Any]:
    return {
        key: _absolute_point(value, base, f"{prefix}{key}.")
        if isinstance(value, dict)
        else _absolute(prefix + key, value, base)
        for key, value in point.items()
    }


def _absolute_choices(path: str, form: Any, base: Path) -> Any:
    if not isinstance(form, dict) or not isinstance(form.get("choice"), list):
        return form
    return {**form, "choice": [_absolute(path, value, base) for value in form["choice"]]}


def check_spec(spec: SweepSpec) -> None:
    """What pydantic cannot know: paths, ranges and metrics against the config and the recipes.

    Raises:
        InputError: in one line.
    """
    refuse_password(spec.storage)
    for path, dimension in spec.space.items():
        check_dimension(path, dimension)
    bases = base_configs(spec)
    check_judges(spec, [own_tasks(base.evaluation.custom) for base in bases.values()])
    for recipe, base in bases.items():
        if base.evaluation.data is None and spec.metric[0].rpartition(".")[0] in STANDARD:
            raise InputError(f"recipe {recipe}: evaluation.data is not set, so no trial would have a score")
        if spec.scheduler.name != "none" and base.train.eval_every > spec.scheduler.grace_steps:
            raise InputError(
                f"recipe {recipe}: train.eval_every is {base.train.eval_every}, but the scheduler wants a score after "
                f"{spec.scheduler.grace_steps} steps; lower train.eval_every or raise scheduler.grace_steps"
            )
        check_arms(spec, base)
        check_points(spec, base)


def check_judges(spec: SweepSpec, own: Sequence[Sequence[Task]]) -> None:
    """What trials are judged by is the specification's metric and constraints, for all trials alike. `own` are
    the tasks of the user's own that each recipe's config declares."""
    for name, tasks in product(spec.metric, own):
        check_metric(name, tasks, allow_test=spec.allow_test)
    if spec.metric[0] == "seconds":
        raise InputError(
            "metric: the first must be a score, which also chooses a run's best checkpoint; seconds may follow"
        )
    for name, tasks in product(spec.constraints, own):
        check_metric(name, tasks, allow_test=spec.allow_test, what="constraints")
    judge = spec.overrides.get("evaluation.metric", spec.metric[0])
    if judge != spec.metric[0]:
        raise InputError(f"overrides: evaluation.metric: a sweep's trials are judged by its metric, {spec.metric[0]}")


def check_dimension(path: str, dimension: Dimension) -> None:
    """A searched path must be a config key whose own bounds hold the whole range."""
    if field_at(path) is None:
        raise InputError(f"space: {unknown_key(path)}")
    if path.startswith("evaluation."):
        raise InputError(f"space: {path}: what trials are judged by must be the same for all of them")
    for value in dimension.probes():
        try:
            as_field_value(path, value)
        except ValueError as error:
            raise InputError(f"space: {path}: {error}") from error


def allowed(path: str, value: Any) -> bool:
    """Whether a config field takes this value."""
    try:
        as_field_value(path, value)
    except ValueError:
        return False
    return True


def check_metric(name: str, own: Sequence[Task], *, allow_test: bool, what: str = "metric") -> None:
    """TASK.SPLIT that training can score; the test split only where it is asked for. `seconds` is a metric too."""
    if name == "seconds":
        return
    task, separator, split = name.rpartition(".")
    if not separator:
        raise InputError(f"{what}: {name!r}: expected TASK.SPLIT, for example STSBenchmark.dev, or seconds")
    declared = find_task(task, own)
    splits = tuple(declared.splits) if isinstance(declared, StsTask) else ("dev", "test")
    if split not in splits:
        raise InputError(f"{what}: {name!r}: {task} has no split {split!r}; it has: {', '.join(splits)}")
    if split == "test" and not allow_test:
        raise InputError(
            f"{what}: {name} is a test split: a search on it would choose by the numbers that it is later judged by; "
            f"use {task}.dev, or write allow_test: true"
        )


def check_arms(spec: SweepSpec, base: RunConfig) -> None:
    """Every arm must be a valid config, judged as the others are."""
    configs: dict[str, RunConfig] = {}
    for name, arm in spec.arms.items():
        for path in arm:
            if path == "evaluation" or path.startswith("evaluation."):
                raise InputError(f"arms: {name}: {path}: what arms are judged by must be the same for all of them")
            if path in spec.space:
                raise InputError(f"arms: {name}: {path} is searched in space, too; give it one place")
        try:
            config = with_overrides(base, arm)
        except InputError as error:
            raise InputError(f"arms: {name}: {error}") from error
        twin = next((other for other, known in configs.items() if known == config), None)
        if twin is not None:
            raise InputError(f"arms: {name} and {twin} are the same config")
        configs[name] = config


def check_points(spec: SweepSpec, base: RunConfig) -> None:
    """Start points must make valid configs, and so must at least one of a few random ones."""
    import random

    for place, point in enumerate(spec.try_first):
        full = set(point) == set(spec.searched)
        try:
            with_overrides(base, spec.settings(point))
        except InputError as error:
            if full:
                raise InputError(f"try_first[{place}]: {error}") from error
    rng = random.Random(0)
    problems: list[str] = []
    for _ in range(SAMPLES):
        try:
            with_overrides(base, spec.settings(draw(spec.searched, RandomTrial(rng))))
            return
        except InputError as error:
            problems.append(str(error))
    raise InputError(f"space: no point of it makes a valid config: {problems[0]}")


class RandomTrial:
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
    return {recipe: load_config(recipe, spec.overrides).config for recipe in spec.recipe}
