"""The command `dalr sweep`: a search, or a question about one."""

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    spec: Annotated[
        str, typer.Argument(help="A YAML file or a bundled sweep's name; or status, best, why, reproduce.")
    ],
    words: Annotated[
        list[str] | None, typer.Argument(help="key=value overrides; or the sweep's folder and a trial.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The sweep's folder. The same command continues it.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """Search hyperparameters with Ray Tune and Optuna; the same command continues a sweep.

    Example: dalr sweep dalr_core --out sweeps/core budget.trials=24 train.steps=150
    """
    from dalr.errors import InputError
    from sweeps.loading import load_spec
    from sweeps.run import run_sweep

    if out is None:
        raise InputError("dalr sweep: where to? Give the sweep's folder with --out DIR")
    outcome = run_sweep(load_spec(spec, words), out, quiet=quiet)
    if not quiet and outcome.best is not None:
        print(f"best: trial {outcome.best.number}, {outcome.best.values[0]:.2f}; its config: {outcome.best_config}")
