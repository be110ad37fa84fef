"""The command `dalr features`."""

from pathlib import Path
from typing import Annotated

import typer


def features(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the config.yaml that a run wrote.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Config values to set.")
    ] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Also store the teachers' token states, which take much room.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """Compute a recipe's teacher features into the store. What is there is not computed again.

    A killed extraction goes on where it was. Only what the recipe's active terms need is computed.

    Example: dalr features dalr data.root=data --tokens
    """
    from dalr.data.features import prepare_features
    from dalr.inputs import check_inputs
    from dalr.overrides import parse_override, with_absolute_paths, with_overrides
    from dalr.recipes import load_recipe

    changes = dict(parse_override(text) for text in overrides or [])
    config = with_absolute_paths(with_overrides(load_recipe(recipe), changes))
    check_inputs(config)
    prepared = prepare_features(config, cache_tokens=tokens, quiet=quiet).prepared
    if quiet:
        return
    for array in prepared:
        state = (
            f"{array.computed_shards} of {array.shards} shards in {array.seconds:.0f} s"
            if array.computed_shards
            else "there"
        )
        typer.echo(
            f"{array.what}: {array.rows} x {array.width}, {array.nbytes / 2**20:.1f} MiB, {state}: {array.folder}"
        )
    if not prepared:
        typer.echo(f"the active terms of {recipe} need no teacher features")
    assert config.data.store is not None  # absolute paths set it
    if prepared:
        typer.echo(f"store: {Path(config.data.store)}")
