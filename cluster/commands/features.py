"""The command `dalr features`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dalr.cluster.commands.options import Address, Gpus, KeyValues, Recipe, Strict

if TYPE_CHECKING:
    from dalr.config.schema import RunConfig
    from dalr.data.store import Prepared, Runner


def features(
    recipe: Recipe,
    overrides: KeyValues = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Also store the teachers' token states, which take much room.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Ray workers, one CPU each. Default: in this process, without Ray.")
    ] = None,
    gpus: Gpus = None,
    address: Address = None,
    strict: Strict = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """Compute a recipe's teacher features into the store. What is there is not computed again.

    A killed extraction goes on where it was. Only what the recipe's active terms need is computed.
    With --workers it is spread over Ray; the store must then be a folder that every node sees.

    Example: dalr features dalr data.root=data --tokens --workers 8
    """
    from dalr.errors import InputError

    if workers is None and (gpus is not None or address is not None):
        raise InputError("--gpus and --address are for workers on Ray; say how many with --workers N")
    config = config_of(recipe, overrides or [], strict=strict)
    if workers is None:
        compute_features(config, tokens=tokens, quiet=quiet)
        return

    from dalr.cluster.features import ray_runner
    from dalr.cluster.preflight.resources import check, default_gpus
    from dalr.cluster.session import ray_session
    from dalr.cluster.train import Workers

    with ray_session(address, dashboard=False, quiet=quiet):
        asked = Workers(workers, gpus=default_gpus(workers) if gpus is None else gpus)
        check(asked.resources, asked.count)
        compute_features(config, tokens=tokens, run=ray_runner(asked), quiet=quiet)


def config_of(recipe: str, overrides: Sequence[str], *, strict: bool = False) -> "RunConfig":
    """The config of a recipe and `KEY=VALUE` overrides, its inputs checked.

    Raises:
        InputError: an unknown recipe or key, a value out of range, a file that is missing; with `strict`, data or
            settings that no active term reads.
    """
    from dalr.config.overrides import parse_overrides
    from dalr.training.inputs import check_inputs
    from dalr.training.recipe import recipe as config_from

    config = config_from(recipe, parse_overrides(overrides), strict=strict)
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
