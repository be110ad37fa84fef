"""`dalr.recipe`: a complete config by name, with changes."""

import os
from collections.abc import Mapping
from typing import Any

from dalr.config.loading import load_config
from dalr.config.schema import RunConfig
from dalr.extensions import load_installed
from dalr.training.without_effect import report_unread


def recipe(
    source: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None, /, *, strict: bool = False, **keys: Any
) -> RunConfig:
    """The complete config behind a recipe's name or a config file, every path absolute.

    `overrides` and `keys` are dotted config keys and their values: `dalr.recipe("dalr", **{"train.steps": 1000})`.
    A relative path lies under `data.root` where that is set, else in the working directory. Data and settings that
    no active term reads are warned of by the logger `dalr`; with `strict` they are an error.

    Raises:
        InputError: an unknown recipe or key, or a value out of range; the message names the key, what is allowed,
            and the nearest known key.
    """
    load_installed()
    source = os.fspath(source)
    config, written = load_config(source, {**(overrides or {}), **keys})
    report_unread([config], written, strict=strict)
    return config.of_recipe(source)
