"""Makes a specification's values fit for its fields: paths become absolute, scalars get the type of their field."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dalr.config.keys import PATH_KEYS, as_field_value
from dalr.config.loading import load_recipe
from dalr.config.overrides import flat_keys
from dalr.config.recipes import RECIPES
from dalr.config.schema import given_root
from dalr.sweeps.spec.space import Scalar


def as_fields_hold_them(values: Mapping[str, Any]) -> dict[str, Any]:
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


def with_absolute_values(values: Mapping[str, Any]) -> dict[str, Any]:
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
