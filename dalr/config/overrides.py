"""Changes on top of a config: what a command line, a file or a caller wrote, key by key, and its paths.

What is written is what is used. YAML is read by `dalr.yaml_text`; on a command line a key whose value is
free text (a path, a model) takes the text as it stands; nothing is set twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dalr.config.fields import PACKAGED
from dalr.config.keys import PATH_KEYS, describe, field_at, takes_text, unknown_key
from dalr.config.schema import RunConfig, default_root, given_root
from dalr.errors import InputError
from dalr.validation import problems
from dalr.yaml_text import dump_yaml, parse_yaml

ROOTED_KEYS = tuple(key for key in PATH_KEYS if key != "data.root")
Overrides = Mapping[str, Any]
"""Dotted keys and their values. A mapping as a value sets the keys in it and leaves the others."""


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """`key=value` words of a command line, each key once.

    Raises:
        InputError: a word that is not `key=value`, a value that is not YAML, a key that stands twice.
    """
    overrides: dict[str, Any] = {}
    for text in texts:
        key, value = parse_override(text)
        if key in overrides:
            raise InputError(f"{key} is set twice; leave one of them")
        overrides[key] = value
    return overrides


def parse_override(text: str) -> tuple[str, Any]:
    """`"objective.temperature=0.04"` → `("objective.temperature", 0.04)`; the value is YAML, or for a key of free
    text the text itself."""
    key, separator, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not separator or not key:
        raise InputError(f"override {text!r}: expected key=value, for example objective.temperature=0.04")
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    if takes_text(key) and not quoted and value not in ("", "~", "null", "Null", "NULL"):
        return key, value
    return key, parse_yaml(value, f"override {text!r}")


def with_overrides(config: RunConfig, *layers: Overrides) -> RunConfig:
    """A new config with dotted keys replaced, by one layer after the other.

    A layer that sets one of `train.steps` and `train.epochs` unsets the other. A relative path in a layer lies under
    `data.root` where that is set (by a layer, the config, or DALR_DATA), else in the working directory. Where a layer
    sets another `data.root`, the config's own paths below the old one move along.

    Raises:
        InputError: an unknown key, or a value out of range; the message names the key, what is
            allowed, and the nearest known key.
    """
    values = config.dump()
    written: set[str] = set()
    for layer in layers:
        for one, other in (("steps", "epochs"), ("epochs", "steps")):
            flat = dict(flat_keys(layer))
            if flat.get(f"train.{one}") is not None and f"train.{other}" not in flat:
                values["train"][other] = None
        for key, value in layer.items():
            _set(values, key, value)
        written.update(key for key, _ in flat_keys(layer))
    _place_paths(values, written, old_root=config.data.root)
    return validated(values)


def flat_keys(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of nested values; a mapping that has keys is not a value itself."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from flat_keys(value, f"{key}.")
        else:
            yield key, value


def written_keys(*layers: Overrides) -> set[str]:
    """The dotted keys that layers set to something; null, false, 0 and empty lists switch a thing off."""
    return {key for layer in layers for key, value in flat_keys(layer) if value}


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Sets one dotted key; of a mapping, each key in it."""
    *parents, last = key.split(".")
    node: Any = values
    for depth, name in enumerate(parents):
        node = _child(node, name, key, ".".join(parents[:depth]))
    if isinstance(node, list):
        _child(node, last, key, ".".join(parents))
        node[int(last)] = value
    elif not isinstance(node, dict) or last not in node:
        raise InputError(unknown_key(key))
    elif isinstance(value, Mapping) and isinstance(node[last], dict):
        for name, inner in value.items():
            _set(values, f"{key}.{name}", inner)
    else:
        node[last] = value


def _child(node: Any, name: str, key: str, parent: str) -> Any:
    if isinstance(node, list):
        if not name.isdecimal() or int(name) >= len(node):
            count = f"{len(node)} elements" + (f", addressed as 0 to {len(node) - 1}" if node else "")
            raise InputError(f"{key}: {parent} has {count}; set {parent} to a list for more")
        return node[int(name)]
    if not isinstance(node, dict) or name not in node:
        raise InputError(unknown_key(key))
    if node[name] is None:
        place = f"{parent}.{name}" if parent else name
        if field_at(key) is None:
            raise InputError(unknown_key(key))
        raise InputError(f"{key}: {place} is null, so it has no keys; set all of it, {place}={{...}}")
    return node[name]


def _place_paths(values: dict[str, Any], written: set[str], old_root: str | None) -> None:
    """Makes the paths that were written absolute, in place."""
    if "data.root" in written:
        values["data"]["root"] = _under(Path.cwd(), values["data"]["root"])
    new_root = values["data"]["root"]
    base = new_root or given_root() or Path.cwd()
    for key in ROOTED_KEYS:
        part, name = key.split(".")
        value = values[part][name]
        if key in written:
            values[part][name] = _under(base, value)
        elif old_root and new_root and isinstance(value, str) and Path(value).is_relative_to(old_root):
            values[part][name] = str(Path(new_root) / Path(value).relative_to(old_root))


def _under(base: str | Path, value: Any) -> Any:
    return str(Path(base) / Path(value).expanduser()) if isinstance(value, str) and value else value


def validated(values: Mapping[str, Any], where: str = "") -> RunConfig:
    """A `RunConfig` from plain values; pydantic's report becomes one line that begins with `where`."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise InputError(where + config_problems(error)) from error


def config_problems(error: ValidationError) -> str:
    """What is wrong with a config's values, in one line, with what each key may be."""
    return problems(error, expected=lambda key: describe(key) if field_at(key) else None, unknown=unknown_key)


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """The config with every path absolute: relative ones, which are a recipe's, lie under `data.root`, which defaults
    to `default_root()`. `data.store` defaults to features under it. The name of a model that is a folder here is its
    path: a worker in another working directory finds the same one."""
    values = config.dump()
    root = Path(values["data"]["root"] or default_root()).expanduser().absolute()
    values["data"]["root"] = str(root)
    values["data"]["store"] = values["data"]["store"] or "features"
    for key in ROOTED_KEYS:
        part, name = key.split(".")
        if values[part][name] is not None:
            values[part][name] = str(root / values[part][name])
    for node, name in [(values["model"], "student"), (values["model"], "init")] + [
        (teacher, "model") for teacher in values["teachers"]["text"]
    ]:
        if node[name] and node[name] not in PACKAGED and (folder := Path(node[name]).expanduser()).is_dir():
            node[name] = str(folder.absolute())
    return validated(values)


def to_yaml(config: RunConfig) -> str:
    """The whole config as YAML, in the order in which it is declared."""
    return dump_yaml(config.dump())
