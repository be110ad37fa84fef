"""The command `dalr train`."""

from typing import TYPE_CHECKING, Annotated

import typer

from dalr.cluster.commands.options import Address, Gpus, KeyValues, Recipe, Strict

if TYPE_CHECKING:
    from dalr.cluster.api.run import Run


def train(
    recipe: Recipe,
    overrides: KeyValues = None,
    out: Annotated[
        str,
        typer.Option(
            metavar="FOLDER",
            help="The run's folder: a path that every node sees, or a URI such as s3://bucket/runs/a or gs://bucket/a. "
            "The same folder resumes the run.",
        ),
    ] = ...,  # type: ignore[assignment]
    workers: Annotated[int, typer.Option(min=1, help="Training processes.")] = 1,
    min_workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Train with so few or more where the cluster has no room for --workers, or no longer. Another number "
            "of workers rounds, and draws dropout, otherwise. Default: as many as --workers.",
        ),
    ] = None,
    cpus: Annotated[float, typer.Option(min=0.1, help="CPUs of each worker.")] = 1.0,
    gpus: Gpus = None,
    max_failures: Annotated[int, typer.Option(min=0, help="Lost workers or nodes to recover from.")] = 3,
    address: Address = None,
    report_to: Annotated[
        str, typer.Option(metavar="NAMES", help="Trackers to report to as well: tensorboard, wandb, mlflow.")
    ] = "",
    no_preflight: Annotated[
        bool, typer.Option("--no-preflight", help="Start without asking whether the cluster has room.")
    ] = False,
    local: Annotated[bool, typer.Option("--local", help="Train in this process, without Ray.")] = False,
    extend: Annotated[
        bool,
        typer.Option(
            "--extend", help="Train a run that is there on to more train.steps or train.epochs (docs/inputs.md)."
        ),
    ] = False,
    strict: Strict = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """Train one run on Ray Train (or in this process with --local). The same command resumes it.

    Example: dalr train dalr train.batch_size=256 --workers 4 --out runs/dalr-1
    """
    from dalr.cluster.api.training import train as train_run
    from dalr.config.overrides import parse_overrides
    from dalr.errors import Interrupted
    from dalr.training.recipe import recipe as config_of

    config = config_of(recipe, parse_overrides(overrides or []), strict=strict)
    run = train_run(
        config,
        out,
        workers=workers,
        min_workers=min_workers,
        cpus=cpus,
        gpus=gpus,
        max_failures=max_failures,
        address=address,
        report_to=report_to.split(",") if report_to else (),
        preflight=not no_preflight,
        local=local,
        extend=extend,
        quiet=quiet,
    )
    if run.reason == "SIGINT":
        raise Interrupted(f"interrupted after step {run.steps}, which is saved")
    if not run.finished:
        typer.echo(f"stopped after step {run.steps} ({run.reason}); the same command continues", err=True)
        raise typer.Exit(1)
    if not quiet:
        typer.echo("finished: " * (run.seconds == 0) + summary_line(run, config.evaluation.metric))


def summary_line(run: "Run", metric: str) -> str:
    """A finished run in a line: its steps, its best score, and where its model is."""
    best = "" if run.best_score is None else f"; best {metric} {run.best_score:.2f} at step {run.best_step}"
    return f"{run.steps} steps{best}; model in {run.model_path}"
