"""From words on a command line to a `RunConfig`: `key=value` overrides, files, and clear errors."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import annotated_types
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dalr.config.schema import RunConfig, TextTeacher, default_root
from dalr.errors import InputError

PATH_KEYS = (
    "data.root",
    "data.text",
    "data.captions",
    "data.images",
    "data.image_features",
    "data.image_ids",
    "data.caption_features",
    "data.store",
    "evaluation.data",
)
ROOTED_KEYS = tuple(key for key in PATH_KEYS if key != "data.root")


def parse_override(text: str) -> tuple[str, Any]:
    """`"objective.temperature=0.04"` → `("objective.temperature", 0.04)`; the value is YAML."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise InputError(f"override {text!r}: expected key=value, for example objective.temperature=0.04")
    try:
        return key.strip(), yaml.safe_load(value) if value else None
    except yaml.YAMLError as error:
        raise InputError(f"override {text!r}: the value is not valid YAML") from error


def with_overrides(config: RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    """A new config with dotted keys replaced. Relative paths among the values are taken from the
    current folder. Setting one of `train.steps` and `train.epochs` unsets the other.

    Raises:
        InputError: an unknown key, or a value out of range; the message names the key, what is
            allowed, and the nearest known key.
    """
    values = config.dump()
    overrides = dict(overrides)
    for one, other in (("train.steps", "train.epochs"), ("train.epochs", "train.steps")):
        if overrides.get(one) is not None and other not in overrides:
            values["train"][other.split(".")[1]] = None
    for key, value in overrides.items():
        if key in PATH_KEYS and isinstance(value, str):
            value = str(Path(value).expanduser().absolute())
        _set(values, key, value)
    return validated(values)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node: Any = values
    for depth, name in enumerate(parents):
        node = _child(node, name, key, ".".join(parents[:depth]))
    if isinstance(node, list):
        if not last.isdigit() or int(last) >= len(node):
            raise InputError(f"{key}: {'.'.join(parents)} has {len(node)} elements, addressed as 0 to {len(node) - 1}")
        node[int(last)] = value
    elif isinstance(node, dict):
        if last not in node:
            raise InputError(_unknown(key))
        node[last] = value
    else:
        raise InputError(_unknown(key))


def _child(node: Any, name: str, key: str, parent: str) -> Any:
    if isinstance(node, list):
        if not name.isdigit() or int(name) >= len(node):
            raise InputError(f"{key}: {parent} has {len(node)} elements; {name!r} is not one of 0 to {len(node) - 1}")
        return node[int(name)]
    if not isinstance(node, dict) or name not in node:
        raise InputError(_unknown(key))
    if node[name] is None:
        raise InputError(f"{key}: {parent + '.' if parent else ''}{name} is not set, so it has no parts to set")
    return node[name]


def validated(values: Mapping[str, Any], where: str = "") -> RunConfig:
    """A `RunConfig` from plain values; pydantic's report becomes one line that begins with `where`."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise InputError(where + "; ".join(_messages(error))) from error


def _messages(error: ValidationError) -> Iterator[str]:
    seen = set()
    for detail in error.errors():
        # A union reports each of its members; the path without the member's name says it once.
        path = ".".join(str(step) for step in detail["loc"])
        key = _known_prefix(path)
        if detail["type"] == "extra_forbidden":
            message = _unknown(path)
        elif detail["type"] == "value_error":
            message = str(detail["ctx"]["error"])
        else:
            message = f"{key}: {detail['input']!r} is not allowed; {describe(key)}"
        if message not in seen:
            seen.add(message)
            yield message


def _known_prefix(path: str) -> str:
    steps = path.split(".")
    for length in range(len(steps), 0, -1):
        if field_at(".".join(steps[:length])) is not None:
            return ".".join(steps[:length])
    return path


def known_keys() -> list[str]:
    """Every dotted key of a `RunConfig`, elements of lists as index 0."""
    return list(_keys(RunConfig, ""))


def _keys(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        inner = _part_of(field)
        if inner is TextTeacher:
            yield from _keys(inner, f"{prefix}{name}.0.")
        elif inner is not None:
            yield from _keys(inner, f"{prefix}{name}.")


def _part_of(field: FieldInfo) -> type[BaseModel] | None:
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def field_at(key: str) -> FieldInfo | None:
    """The declaration of a dotted key, or None where there is none."""
    model: type[BaseModel] | None = RunConfig
    field: FieldInfo | None = None
    for step in key.split("."):
        if step.isdigit() and field is not None and model is TextTeacher:
            continue
        if model is None or step not in model.model_fields:
            return None
        field = model.model_fields[step]
        model = _part_of(field)
    return field


def describe(key: str) -> str:
    """What a key's value may be, in words: `a number >= 0.001 and <= 100.0`."""
    field = field_at(key)
    if field is None:
        return "there is no such key"
    return "expected " + _describe_type(field.annotation, field.metadata)


_KINDS = {float: "a number", int: "an integer", str: "text", bool: "true or false", type(None): "null"}
_BOUNDS = (
    (annotated_types.Gt, "gt", ">"),
    (annotated_types.Ge, "ge", ">="),
    (annotated_types.Lt, "lt", "<"),
    (annotated_types.Le, "le", "<="),
)


def _describe_type(kind: Any, metadata: Sequence[Any] = ()) -> str:
    bounds = [
        f"{sign} {getattr(item, name)}"
        for item in _flat(metadata)
        for cls, name, sign in _BOUNDS
        if isinstance(item, cls)
    ]
    if kind in _KINDS:
        return " ".join([_KINDS[kind], " and ".join(bounds)]).strip()
    members = get_args(kind)
    if hasattr(kind, "__metadata__"):
        return _describe_type(members[0], kind.__metadata__)
    if members and all(isinstance(member, str) for member in members):
        return "one of " + ", ".join(members)
    if members and getattr(kind, "__origin__", None) is tuple:
        return "a list of " + _describe_type(members[0])
    if members:
        return " or ".join(_describe_type(member, metadata if member in (int, float) else ()) for member in members)
    return f"a group of keys ({', '.join(kind.model_fields)})" if hasattr(kind, "model_fields") else str(kind)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0.5)
    last = key.split(".")[-1]
    same_name = [known for known in known_keys() if known.split(".")[-1] == last]
    hint = f"; did you mean {(same_name or near)[0]}?" if same_name or near else ""
    return f"unknown key {key}{hint}"


def read_config(path: Path) -> RunConfig:
    """A config that a run wrote (or a person, in the same form), from YAML. Relative paths in it are
    taken from the current folder."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected the keys of a run's config ({', '.join(RunConfig.model_fields)})")
    for key in PATH_KEYS:
        part, name = key.split(".")
        section = values.get(part)
        if isinstance(section, dict) and isinstance(section.get(name), str):
            section[name] = str(Path(section[name]).expanduser().absolute())
    return validated(values, where=f"{path}: ")


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """The config with every path absolute: relative ones lie under `data.root`, which defaults to the
    cache folder. `data.store` defaults to `root`/features."""
    values = config.dump()
    root = Path(values["data"]["root"] or default_root()).expanduser().absolute()
    values["data"]["root"] = str(root)
    values["data"]["store"] = values["data"]["store"] or "features"
    for key in ROOTED_KEYS:
        part, name = key.split(".")
        if values[part][name] is not None:
            values[part][name] = str(root / values[part][name])
    return validated(values)


def to_yaml(config: RunConfig) -> str:
    """The whole config as YAML, in the order in which it is declared."""
    return yaml.safe_dump(config.dump(), sort_keys=False, allow_unicode=True, width=100)
