"""What can be said about a command's config before the command runs, and where its files are not."""

from collections.abc import Sequence
from pathlib import Path


def check_config(recipe: str, overrides: Sequence[str] = (), **options: object) -> None:
    """Checks a recipe and its `KEY=VALUE` overrides. A config of an absolute path that is not here may lie on the
    cluster: it is left to the command.

    Raises:
        InputError: an unknown recipe or key, a value out of range.
    """
    from dalr.config.loading import load_config
    from dalr.config.overrides import parse_overrides

    changes = parse_overrides(overrides)
    if Path(recipe).is_absolute() and not Path(recipe).exists():
        return
    load_config(recipe, changes)
