"""Options that several commands of this package share."""

from typing import Annotated

import typer

from dalr.config.commands import keys_like, recipes_like

Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A recipe's name, or the config.yaml that a run wrote.", autocompletion=recipes_like
    ),
]
KeyValues = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Config values to set.", autocompletion=keys_like),
]
Gpus = Annotated[float | None, typer.Option(min=0.0, help="GPUs of each worker. Default: 1 where there are.")]
Address = Annotated[str | None, typer.Option(help="The Ray cluster to join. Default: RAY_ADDRESS, else a local one.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse data and settings that no active term reads, rather than warn.")
]
