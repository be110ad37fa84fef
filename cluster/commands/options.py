"""Options that several commands of this package share."""

from typing import Annotated

import typer

Gpus = Annotated[float | None, typer.Option(min=0.0, help="GPUs of each worker. Default: 1 where there are.")]
Address = Annotated[str | None, typer.Option(help="The Ray cluster to join. Default: RAY_ADDRESS, else a local one.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse data and settings that no active term reads, rather than warn.")
]
