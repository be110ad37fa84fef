"""A training run as its folder tells it: config, provenance, identity apart from the seed."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dalr.errors import InputError

# Where data and the feature store lie is no setting of the run, and the seed is what a row of a
# table takes the mean over.
NOT_SETTINGS = (("data", "root"), ("data", "store"), ("train", "seed"))

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run. `settings` is the flattened config without seed and places; `fingerprint` is 16 hex
    digits of it, the same for all seeds of one setting."""

    folder: Path
    config: dict[str, Any]
    provenance: dict[str, Any]
    settings: dict[str, Any]
    fingerprint: str

    @property
    def seed(self) -> int | None:
        """The training seed."""
        seed = self.config.get("train", {}).get("seed", self.provenance.get("seed"))
        return seed if isinstance(seed, int) else None

    @property
    def recipe(self) -> str | None:
        """The recipe's name, where the provenance has one."""
        recipe = self.provenance.get("recipe")
        return str(recipe) if recipe else None


def is_run(folder: Path) -> bool:
    """Whether `folder` is a run's: a config, and a trace that it ran."""
    traces = (folder / "provenance.json", folder / "metrics.jsonl")
    return (folder / "config.yaml").is_file() and any(trace.is_file() for trace in traces)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        InputError: unreadable, not YAML, or not a mapping; names the file.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not a readable YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected keys and values")
    return values


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an InputError that names the file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object")
    return values


def read_run(folder: Path) -> Run:
    """The run in `folder`, from config.yaml and, where it is there, provenance.json.

    Raises:
        InputError: either file cannot be read.
    """
    config = read_yaml(folder / "config.yaml")
    path = folder / "provenance.json"
    provenance = read_json(path) if path.exists() else {}
    settings = settings_of(config)
    return Run(
        folder=folder,
        config=config,
        provenance=provenance,
        settings=settings,
        fingerprint=fingerprint_of(settings),
    )


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """The config as dotted keys, without the seed and the places of data."""
    return {".".join(path): value for path, value in _flat(config, ()) if path not in NOT_SETTINGS}


def _flat(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, (*path, str(name)))
    elif isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value):
        for index, inner in enumerate(value):
            yield from _flat(inner, (*path, str(index)))
    else:
        yield path, value


def fingerprint_of(settings: dict[str, Any]) -> str:
    """16 hex digits of flattened settings."""
    canonical = json.dumps(settings, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
