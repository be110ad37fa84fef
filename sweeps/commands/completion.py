"""What a shell completes the words of `dalr sweep` to. A person waits for the answer, so that trials are read off the
names of their folders, not from the database."""

import re
from collections.abc import Iterable
from pathlib import Path

import typer

from dalr.errors import InputError

OTHERS = (
    *("status", "best", "why", "reproduce"),
    *("stop", "pause", "resume", "skip", "add", "extend", "set", "dashboard"),
)
"""What may follow `dalr sweep` in place of a specification: commands of their own."""


def first_words(incomplete: str) -> list[str]:
    """The bundled specifications, and the other commands."""
    from dalr.sweeps.spec.loading import bundled_specs

    return [word for word in (*bundled_specs(), *OTHERS) if word.startswith(incomplete)]


def keys_to_change(incomplete: str) -> list[str]:
    """The keys of a specification and of the config."""
    from dalr.config.keys import known_keys
    from dalr.sweeps.spec.other_names import spec_keys

    return _assignments((*spec_keys(), *known_keys()), incomplete)


def trials_begun(context: typer.Context) -> list[str]:
    """The numbers of the sweep's trials, from the names of their runs' folders: `trial-0007-seed-1`."""
    names = (place.name for place in Path(str(context.params.get("folder")), "runs").glob("trial-*"))
    matches = map(re.compile(r"trial-(\d+)-").match, names)
    return [str(number) for number in sorted({int(match[1]) for match in matches if match})]


def keys_to_set(incomplete: str) -> list[str]:
    """The keys that may change while a sweep runs."""
    from dalr.sweeps.search.in_force import SETTABLE

    return _assignments(SETTABLE, incomplete)


def keys_searched(context: typer.Context, incomplete: str) -> list[str]:
    """The keys that the sweep that the command line names searches."""
    from dalr.yaml_text import read_yaml

    try:
        values = read_yaml(Path(str(context.params.get("folder"))) / "sweep.yaml")
    except (InputError, OSError):
        return []  # the command says what is wrong with the folder
    space = values.get("space") if isinstance(values, dict) else None
    return _assignments(space if isinstance(space, dict) else (), incomplete)


def lengths(incomplete: str) -> list[str]:
    """The keys that say how long a run is."""
    from dalr.training.extension import LENGTH_KEYS

    return _assignments(LENGTH_KEYS, incomplete)


def _assignments(keys: Iterable[str], incomplete: str) -> list[str]:
    """The keys, ready for their value."""
    return [f"{key}=" for key in keys if key.startswith(incomplete)]
