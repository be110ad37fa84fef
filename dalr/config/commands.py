"""The commands `dalr recipes` and `dalr config`: every recipe and every key, without reading source."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from dalr.errors import InputError

Quiet = Annotated[bool, typer.Option("--quiet", help="Print names alone.")]


def recipes_like(incomplete: str) -> list[str]:
    """The recipes that a shell may complete a word to."""
    from dalr.config.recipes import RECIPES

    return [name for name in RECIPES if name.startswith(incomplete)]


def keys_like(incomplete: str) -> list[str]:
    """The keys that a shell may complete a word to, ready for their value."""
    from dalr.config.keys import known_keys

    return [f"{key}=" for key in known_keys() if key.startswith(incomplete)]


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A recipe to show in full.", autocompletion=recipes_like)
    ] = None,
    quiet: Quiet = False,
) -> None:
    """List the recipes; or show one: what it is, its source, and its config as YAML with comments.

    What it prints of one is a config file: save it, change it, and give it to dalr train.

    Example: dalr recipes dalr > mine.yaml
    """
    from dalr.config.loading import load_recipe
    from dalr.config.overrides import with_overrides
    from dalr.config.recipes import RECIPES
    from dalr.config.schema import default_root

    if name is None:
        width = max(map(len, RECIPES))
        for known, recipe in RECIPES.items():
            typer.echo(known if quiet else f"{known:{width}}  {recipe.summary}")
        return
    config = load_recipe(name)  # an unknown name names the nearest
    if config.data.root is None:  # of a file, relative paths would lie in the working directory
        config = with_overrides(config, {"data.root": str(default_root())})
    if not quiet and name in RECIPES:
        typer.echo(f"# {name}: {RECIPES[name].summary}\n# Source: {RECIPES[name].source}")
    typer.echo("\n".join(commented(config.dump())))


def commented(values: Mapping[str, Any], prefix: str = "", indent: str = "") -> Iterator[str]:
    """Lines of YAML, each key that is not a group with its meaning behind it."""
    from dalr.yaml_text import dump_yaml

    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from commented(value, f"{key}.", f"{indent}  ")
            continue
        lines = dump_yaml({name: value}).rstrip("\n").split("\n")
        if len(lines) == 1 and len(lines[0]) < 40:
            yield f"{indent + lines[0]:44}# {meaning(key)}"
        else:
            yield f"{indent}# {meaning(key)}"
            yield from (indent + line for line in lines)


def config(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            help="A key, the beginning of one, or words to look for.",
            autocompletion=lambda incomplete: [key.rstrip("=") for key in keys_like(incomplete)],
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a config file, for editors.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Explain the config's keys: meaning, type, range and default of one, or of all that match.

    KEY=VALUE sets a key in dalr train, dalr features and dalr sweep; a YAML file has them as sections. With the
    JSON Schema an editor completes and checks such files.

    Example: dalr config temperature
    """
    from dalr.config.keys import OTHER_NAMES, known_keys, unknown_key

    if schema:
        typer.echo(json.dumps(file_schema(), indent=2, ensure_ascii=False))
        return
    known = known_keys()
    wanted = OTHER_NAMES.get((key or "").lower(), (key or "").lower())
    matching = [name for name in known if name == wanted] or [
        name for name in known if wanted in name.lower() or wanted in meaning(name).lower()
    ]
    if not matching:
        raise InputError(f"{unknown_key(str(key))} (dalr config lists all of them)")
    for name in matching:
        typer.echo(name if quiet else explained(name))


def file_schema() -> dict[str, Any]:
    """The JSON Schema of a config file: a config's keys, each of which may be left out, and the recipe or file that
    they change."""
    from dalr.config.recipes import RECIPES
    from dalr.config.schema import RunConfig

    schema = RunConfig.model_json_schema()
    recipe = {
        "description": "the recipe, or the file, that the other keys change",
        "anyOf": [{"enum": list(RECIPES)}, {"type": "string"}],
    }
    schema["properties"] = {"recipe": recipe, **schema["properties"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "dalr config"}


def explained(key: str) -> str:
    """A key in two lines: what it may be and its default, then its meaning."""
    from dalr.config.keys import default_of, describe

    return f"{key}: {describe(key).removeprefix('expected ')}; default {default_of(key)}\n    {meaning(key)}"


def meaning(key: str) -> str:
    """What a key is for; of one that says nothing itself, what its group is for."""
    from dalr.config.keys import field_at, part_of

    field = field_at(key)
    if field is not None and field.description:
        return field.description
    parent = field_at(key.rpartition(".")[0])
    owner = part_of(parent) if parent is not None else None
    return " ".join((owner.__doc__ or "").split()) if owner is not None else ""
