"""From a recipe's name or a file to a complete config, with what a command line sets on top."""

from pathlib import Path
from typing import Any, NamedTuple

from dalr.config.overrides import Overrides, with_absolute_paths, with_overrides, written_keys
from dalr.config.recipes import RECIPES
from dalr.config.schema import RunConfig
from dalr.errors import InputError, did_you_mean
from dalr.yaml_text import read_yaml

SWEEP_KEYS = {"space", "sampler", "budget", "seeds", "try_first", "arms"}
"""Keys that only a sweep's specification has."""


class Loaded(NamedTuple):
    """A complete config, and the dotted keys that a person set in it to something."""

    config: RunConfig
    written: frozenset[str]


def load_config(source: str, overrides: Overrides | None = None) -> Loaded:
    """The config behind a recipe's name or a file, `overrides` on top, every path absolute.

    A file holds keys of a config, and in `recipe` the name of the recipe or file that they change; without
    it they change the defaults, which are plain SimCSE. Relative paths: see `with_overrides`.

    Raises:
        InputError: neither a known name nor a readable config, or as `with_overrides`.
    """
    base, files = _base_and_files(source)
    layers = [*(values for _, values in files), overrides or {}]
    try:
        config = with_absolute_paths(with_overrides(base, *layers))
    except InputError:
        for path, values in files:
            _check_alone(path, base, values)
        raise
    written = written_keys(*(layer for layer in layers if not _is_complete(layer)))
    return Loaded(config, frozenset(written))


def load_recipe(source: str) -> RunConfig:
    """The config behind a recipe's name or a file; a recipe's paths are relative to `data.root`.

    Raises:
        InputError: as `load_config`.
    """
    if source in RECIPES:
        return RECIPES[source]()
    base, files = _base_and_files(source)
    for path, values in files:
        base = _check_alone(path, base, values)
    return base


def read_config(path: Path) -> RunConfig:
    """The config in a file, such as the config.yaml that a run wrote."""
    if not Path(path).is_file():
        raise InputError(f"no such file: {path}")
    return load_recipe(str(path))


def _base_and_files(source: str) -> tuple[RunConfig, list[tuple[Path, Overrides]]]:
    """The recipe at the bottom, and the files between it and `source`, the lowest first."""
    files: list[tuple[Path, Overrides]] = []
    while source not in RECIPES:
        path = _config_file(source)
        if any(path.samefile(other) for other, _ in files):
            raise InputError(f"{path}: recipe: the file is based on itself")
        values = _read_values(path)
        recipe = values.pop("recipe", None)
        files.insert(0, (path, values))
        if recipe is None:
            return RunConfig(), files
        if not isinstance(recipe, str):
            raise InputError(f"{path}: recipe: expected the name of one recipe, or the path of one file")
        source = recipe
    return RECIPES[source](), files


def _config_file(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_dir() and (path / "config.yaml").is_file():
        return path / "config.yaml"
    if path.is_file():
        return path
    names = ", ".join(RECIPES)
    raise InputError(
        f"unknown recipe {source!r}{did_you_mean(source, RECIPES, cutoff=0.4)} "
        f"(recipes: {names}; or the path of a config.yaml)"
    )


def _read_values(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected the keys of a run's config ({', '.join(RunConfig.model_fields)})")
    if sweep := SWEEP_KEYS & values.keys():
        raise InputError(
            f"{path}: {min(sweep)} is a key of a sweep's specification, which dalr sweep runs; a run's config has the "
            f"keys {', '.join(RunConfig.model_fields)}, and recipe for what they change"
        )
    return values


def _check_alone(path: Path, base: RunConfig, values: Overrides) -> RunConfig:
    """The config with one file's values; an error of theirs begins with the file."""
    try:
        return with_overrides(base, values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _is_complete(values: Overrides) -> bool:
    """Whether these are all keys of a config, as a run writes them, rather than those that a person chose."""
    parts = RunConfig().dump()
    return all(isinstance(values.get(name), dict) and set(part) <= set(values[name]) for name, part in parts.items())
