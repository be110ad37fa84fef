"""The command `dalr features`."""

from typing import Annotated

import typer

from dalr.cluster.commands.options import Address, Gpus


def features(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the config.yaml that a run wrote.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Config values to set.")
    ] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Also store the teachers' token states, which take much room.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Ray workers, one CPU each. Default: in this process, without Ray.")
    ] = None,
    gpus: Gpus = None,
    address: Address = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """Compute a recipe's teacher features into the store. What is there is not computed again.

    A killed extraction goes on where it was. Only what the recipe's active terms need is computed.
    With --workers it is spread over Ray; the store must then be a folder that every node sees.

    Example: dalr features dalr data.root=data --tokens --workers 8
    """
    from dalr.data.features.commands import compute_features, config_of
    from dalr.errors import InputError

    if workers is None and (gpus is not None or address is not None):
        raise InputError("--gpus and --address are for workers on Ray; say how many with --workers N")
    config = config_of(recipe, overrides or [])
    if workers is None:
        compute_features(config, tokens=tokens, quiet=quiet)
        return

    from dalr.cluster.features import ray_runner
    from dalr.cluster.preflight.resources import check
    from dalr.cluster.session import ray_session
    from dalr.cluster.train import Workers, default_gpus

    with ray_session(address, dashboard=False, quiet=quiet):
        asked = Workers(workers, gpus=default_gpus(workers) if gpus is None else gpus)
        check(asked.resources, asked.count)
        compute_features(config, tokens=tokens, run=ray_runner(asked), quiet=quiet)
