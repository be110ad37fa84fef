"""What `dalr features` does, in one process or with a runner that spreads it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from dalr.config.schema import RunConfig
    from dalr.data.store import Prepared, Runner


def config_of(recipe: str, overrides: Sequence[str]) -> "RunConfig":
    """The config of a recipe and `KEY=VALUE` overrides, its inputs checked.

    Raises:
        InputError: an unknown recipe or key, a value out of range, a file that is missing.
    """
    from dalr.config.overrides import parse_override, with_absolute_paths, with_overrides
    from dalr.config.recipes import load_recipe
    from dalr.training.inputs import check_inputs

    changes = dict(parse_override(text) for text in overrides)
    config = with_absolute_paths(with_overrides(load_recipe(recipe), changes))
    check_inputs(config)
    return config


def compute_features(config: "RunConfig", *, tokens: bool, run: "Runner | None" = None, quiet: bool = False) -> None:
    """Computes what the config's active terms need and the store lacks, and prints what is there now.

    `tokens` also stores the teachers' token states; `run` computes missing shards (default: here).
    """
    from dalr.data.features.prepare import prepare_features
    from dalr.data.store import run_here

    prepared = prepare_features(config, cache_tokens=tokens, quiet=quiet, run=run or run_here).prepared
    if quiet:
        return
    for array in prepared:
        typer.echo(_line(array))
    typer.echo(f"store: {config.data.store}" if prepared else "the active terms need no teacher features")


def _line(array: "Prepared") -> str:
    state = "there"
    if array.computed_shards:
        state = f"{array.computed_shards} of {array.shards} shards in {array.seconds:.0f} s"
    return f"{array.what}: {array.rows} x {array.width}, {array.nbytes / 2**20:.1f} MiB, {state}: {array.folder}"
