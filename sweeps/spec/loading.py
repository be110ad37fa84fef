"""From a YAML file, or a bundled sweep's name, to a checked specification and its base configs."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dalr.config.loading import load_config
from dalr.config.overrides import parse_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError, did_you_mean
from dalr.sweeps.spec.checks import check_spec
from dalr.sweeps.spec.other_names import unknown_spec_key
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.values import as_fields_hold_them, with_absolute_values
from dalr.validation import problems
from dalr.yaml_text import read_yaml

BUNDLED = Path(__file__).parent / "bundled"


def bundled_specs() -> list[str]:
    """The names of the specifications that come with the package."""
    return sorted(path.stem for path in BUNDLED.glob("*.yaml"))


def summary_of(name: str) -> str:
    """The sentences at the top of a bundled specification, before its first example."""
    lines = (BUNDLED / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines))
    return comment.partition(" A small trial of it:")[0]


def load_spec(source: str | Path | Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any] = ()) -> SweepSpec:
    """The specification in a file, the bundled one of that name, or these values, with changes by key or `key=value`
    words: keys of the specification (`budget.trials=40`) or of the config (`train.steps=400`).

    Raises:
        InputError: one line that names the file, the key, and what is allowed.
    """
    if isinstance(source, Mapping):
        values, where = dict(source), "sweep"
    else:
        path = _find(source)
        values, where = read_yaml(path), str(path)
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected the keys of a sweep ({', '.join(SweepSpec.model_fields)})")
    changes = overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)
    for key, value in changes.items():
        _apply(values, key, value)
    return parse_spec(values, where)


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
        raise InputError(unknown_spec_key(key))
    elif not rest:
        values[first] = value
    else:
        part = values.get(first) or {}
        if not isinstance(part, dict) or len(rest) > 1:
            raise InputError(f"{key}: only one key of a part can be set, as in budget.trials=40")
        values[first] = {**part, rest[0]: value}


def parse_spec(values: Mapping[str, Any], where: str = "sweep") -> SweepSpec:
    """A checked specification from plain values; errors begin with `where`."""
    try:
        spec = SweepSpec.model_validate(as_fields_hold_them(with_absolute_values(values)))
        check_spec(spec, base_configs(spec))
    except ValidationError as error:
        raise InputError(f"{where}: {problems(error, unknown=unknown_spec_key)}") from error
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return spec


def base_configs(spec: SweepSpec) -> dict[str, RunConfig]:
    """Each recipe's complete config with the specification's overrides, its paths absolute."""
    return {recipe: load_config(recipe, spec.overrides).config for recipe in spec.recipe}
