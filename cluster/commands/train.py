"""The command `dalr train`."""

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalr.cluster.commands.options import Address, Gpus, Strict

if TYPE_CHECKING:
    from dalr.cluster.storage.storage import Storage
    from dalr.config.schema import RunConfig
    from dalr.training.callbacks import Outcome


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the config.yaml that a run wrote.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Config values to set.")
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            metavar="FOLDER",
            help="The run's folder: a path that every node sees, or a URI such as s3://bucket/runs/a or gs://bucket/a. "
            "The same folder resumes the run.",
        ),
    ] = ...,  # type: ignore[assignment]
    workers: Annotated[int, typer.Option(min=1, help="Training processes.")] = 1,
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

    Example: dalr train dalr data.root=data train.batch_size=256 --workers 4 --out runs/dalr-1
    """
    from dalr.config.loading import load_config
    from dalr.config.overrides import parse_overrides
    from dalr.training.inputs import check_inputs
    from dalr.training.without_effect import report_unread

    config, written = load_config(recipe, parse_overrides(overrides or []))
    trackers = _trackers(report_to)
    report_unread([config], written, strict=strict)
    check_inputs(config)
    if tell_finished(config, out, extend=extend, quiet=quiet):
        return

    # torch comes with these: what is wrong so far is refused without waiting for it.
    from dalr.cluster.storage.storage import storage_at

    storage = storage_at(out)
    storage.check(config, extend=extend)
    with resumable():
        if local:
            outcome = train_here(config, storage, recipe=recipe, trackers=trackers, extend=extend, quiet=quiet)
        else:
            from dalr.cluster.preflight.resources import default_gpus, preflight
            from dalr.cluster.session import ray_session
            from dalr.cluster.train import Workers, train_on_ray

            with ray_session(address, quiet=quiet):
                asked = Workers(workers, cpus, default_gpus(workers) if gpus is None else gpus, max_failures)
                if not no_preflight:
                    asked = replace(asked, labels=preflight(config, asked.resources, asked.count))
                outcome = train_on_ray(
                    config, storage, workers=asked, recipe=recipe, report_to=trackers, extend=extend, quiet=quiet
                )
    tell(outcome, config, storage.display_name, quiet=quiet)


def _trackers(names: str) -> tuple[str, ...]:
    """The trackers' names, checked; torch is imported for them alone."""
    if not names:
        return ()
    from dalr.tracking import parse_names

    return parse_names(names)


def tell_finished(config: "RunConfig", out: str, *, extend: bool, quiet: bool) -> bool:
    """Whether `out` is a folder that holds this run, finished; says so. `extend`: a shorter one is not it."""
    from pathlib import Path

    from dalr.files import uri_of
    from dalr.identity import identity_of
    from dalr.training.run_folder import RunFolder

    folder = RunFolder(Path(out).absolute())
    if uri_of(out) or not folder.provenance.is_file():
        return False
    noted = folder.finished(config)
    if noted is None:
        return False
    folder.check(identity_of(folder.extended(config) if extend else config), extend=extend)
    if extend and folder.is_made_longer(config):
        return False
    if not quiet:
        typer.echo(f"finished: {summary_line(noted, config, str(folder.path))}")
    return True


def summary_line(outcome: Mapping[str, Any], config: "RunConfig", name: str) -> str:
    """A finished run in a line: its `steps`, `best_score` and `best_step`, and where its model is."""
    best = ""
    if outcome["best_score"] is not None:
        best = f"; best {config.evaluation.metric} {outcome['best_score']:.2f} at step {outcome['best_step']}"
    return f"{outcome['steps']} steps{best}; model in {name}/model"


def tell(outcome: "Outcome", config: "RunConfig", name: str, *, quiet: bool) -> None:
    """A run's last words; exit code 1 where it is not finished."""
    if not outcome.finished:
        typer.echo(f"stopped after step {outcome.steps} ({outcome.reason}); the same command continues", err=True)
        raise typer.Exit(1)
    if quiet:
        return
    typer.echo(summary_line(asdict(outcome), config, name))


def train_here(
    config: "RunConfig", storage: "Storage", *, recipe: str, trackers: Sequence[str], extend: bool, quiet: bool
) -> "Outcome":
    """Trains in this process."""
    from dalr.tracking import make_trackers
    from dalr.training.callbacks import ProgressCallback
    from dalr.training.loop import train

    storage.push_pending(config)
    storage.fetch()
    folder = storage.folder
    watching = [ProgressCallback(quiet=quiet), *make_trackers(trackers, folder, config)]
    callbacks = [*watching, *storage.callbacks(config)]
    outcome = train(
        config, folder.path, callbacks=callbacks, recipe=recipe, quiet=quiet, called=folder.called, extend=extend
    )
    if outcome.finished:
        storage.cleanup_local(writer=True)
    return outcome


@contextmanager
def resumable() -> Iterator[None]:
    """Inside the block a disk that does not do its work ends the run with one line that says how to go on."""
    from dalr.errors import Failed

    try:
        yield
    except OSError as error:
        room = "make room, and " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
        raise Failed(f"{error}; {room}the same command continues") from error
