"""The command `dalr train`."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cluster.options import Address, Gpus


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the config.yaml that a run wrote.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Config values to set.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The run's folder; the same folder resumes the run.")] = ...,  # type: ignore[assignment]
    workers: Annotated[int, typer.Option(min=1, help="Training processes.")] = 1,
    cpus: Annotated[float, typer.Option(min=0.1, help="CPUs of each worker.")] = 1.0,
    gpus: Gpus = None,
    max_failures: Annotated[int, typer.Option(min=0, help="Lost workers or nodes to recover from.")] = 3,
    address: Address = None,
    report_to: Annotated[
        str, typer.Option(metavar="NAMES", help="Trackers to report to as well: tensorboard, wandb, mlflow.")
    ] = "",
    local: Annotated[bool, typer.Option("--local", help="Train in this process, without Ray.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """Train one run on Ray Train (or in this process with --local). The same command resumes it.

    Example: dalr train dalr data.root=data train.batch_size=256 --workers 4 --out runs/dalr-1
    """
    from dalr.files import writable_folder
    from dalr.inputs import check_inputs
    from dalr.overrides import parse_override, with_absolute_paths, with_overrides
    from dalr.recipes import load_recipe
    from dalr.run_folder import RunFolder
    from dalr.tracking import make_trackers, parse_names

    trackers = parse_names(report_to)
    changes = dict(parse_override(text) for text in overrides or [])
    config = with_absolute_paths(with_overrides(load_recipe(recipe), changes))
    check_inputs(config)
    RunFolder(out).check(config)
    writable_folder(out, "--out")
    with resumable():
        if local:
            from dalr.progress import ProgressReporter
            from dalr.training import train as train_here

            reporters = [ProgressReporter(quiet=quiet), *make_trackers(trackers, RunFolder(out.absolute()), config)]
            outcome = train_here(config, out, reporters=reporters, recipe=recipe, quiet=quiet)
        else:
            from cluster.resources import preflight
            from cluster.session import ray_session
            from cluster.train import Workers, default_gpus, train_on_ray

            with ray_session(address, quiet=quiet):
                asked = Workers(workers, cpus, default_gpus(workers) if gpus is None else gpus, max_failures)
                preflight(config, asked.resources, asked.count)
                outcome = train_on_ray(config, out, workers=asked, recipe=recipe, report_to=trackers, quiet=quiet)
    if not outcome.finished:
        typer.echo(f"stopped after step {outcome.steps} ({outcome.reason}); the same command continues", err=True)
        raise typer.Exit(1)
    if not quiet:
        best = (
            ""
            if outcome.best_score is None
            else f"; best {config.evaluation.metric} {outcome.best_score:.2f} at step {outcome.best_step}"
        )
        typer.echo(f"{outcome.steps} steps{best}; model in {out / 'model'}")


@contextmanager
def resumable() -> Iterator[None]:
    """Inside the block a disk that does not do its work ends the run with one line that says how to go on."""
    from dalr.errors import Failed

    try:
        yield
    except OSError as error:
        room = "make room, and " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
        raise Failed(f"{error}; {room}the same command continues") from error
