"""The command `dalr sweep`: a search. What asks about one, or steers it, are commands of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dalr.errors import InputError, Interrupted
from dalr.sweeps.commands.completion import first_words, keys_to_change


def _list(wanted: bool) -> None:
    """Prints the bundled specifications, and ends."""
    if not wanted:
        return
    from dalr.sweeps.spec.loading import bundled_specs, summary_of

    names = bundled_specs()
    width = max(map(len, names))
    for name in names:
        typer.echo(f"{name:{width}}  {summary_of(name)}")
    raise typer.Exit


def sweep(
    spec: Annotated[
        str,
        typer.Argument(metavar="SPEC", help="A YAML file or a bundled sweep's name.", autocompletion=first_words),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE", help="What to change of it.", show_default=False, autocompletion=keys_to_change
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URI",
            help="The sweep's folder; the same command continues it. With storage=postgresql://..., also a URI such as "
            "s3://bucket/sweeps/a.",
        ),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="List the bundled sweeps, and end.", callback=_list, is_eager=True)
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse data and settings that no trial reads, rather than warn.")
    ] = False,
    report_to: Annotated[
        str, typer.Option(help="Trackers that get each trial's runs, joined by commas: tensorboard, wandb, mlflow.")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """Search hyperparameters with Ray Tune and Optuna; the same command continues a sweep.

    SPEC is a YAML file or the name of a bundled sweep (--list). KEY=VALUE changes a key of it or of the config:
    budget.trials=40, train.steps=400.

    In place of SPEC may stand a question about a sweep's folder, dalr sweep status, best, why and reproduce; what
    steers one while it runs, stop, pause, resume, skip, add and set; and extend and dashboard. Each has a --help of
    its own.

    Example: dalr sweep dalr_core budget.trials=24 --out sweeps/core
    """
    search(spec, overrides or [], search_folder(out), strict=strict, report_to=report_to, quiet=quiet)


def search_folder(out: str | None) -> str:
    """The folder of a search, which must be given."""
    if out is None:
        raise InputError("where to? Give the sweep's folder: dalr sweep SPEC --out DIR")
    return out


def check_search(spec: str, overrides: Sequence[str] = (), out: str | None = None, **options: object) -> None:
    """Checks a specification and the words that change it. One of an absolute path that is not here may lie on the
    cluster: it is left to the command.

    Raises:
        InputError: as `sweep`, for what is wrong wherever it runs.
    """
    folder = search_folder(out)
    if Path(spec).is_absolute() and not Path(spec).exists():
        return
    from dalr.sweeps.spec.checks import check_place
    from dalr.sweeps.spec.loading import base_configs, load_spec

    loaded = load_spec(spec, list(overrides))
    check_place(loaded, folder)
    base_configs(loaded)


def search(
    source: str, overrides: Sequence[str], out: str, *, strict: bool = False, report_to: str = "", quiet: bool
) -> None:
    """Runs or continues a sweep. Exit code 1 where not a single trial could be completed."""
    from dalr.config.overrides import parse_overrides
    from dalr.sweeps.api import checked_spec
    from dalr.sweeps.api import search as run
    from dalr.sweeps.spec.checks import check_place
    from dalr.tracking import parse_names

    spec, bases = checked_spec(source, parse_overrides(overrides), strict=strict)
    check_place(spec, out)
    spec = spec.model_copy(update={"report_to": parse_names(report_to or ",".join(spec.report_to))})

    from dalr.sweeps.display import best_lines, counts_line, plan_line

    if not quiet:
        for recipe, base in bases.items():
            typer.echo(f"{recipe}: {plan_line(spec, base.train.steps)}")
    try:
        outcome = run(spec, out, quiet=quiet).outcome
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted, nothing is lost: {_kept(out)}") from error
    if not quiet:
        typer.echo("\n".join([counts_line(outcome.state), *best_lines(outcome)]))
    if outcome.best is None:
        typer.echo(f"no trial was completed; dalr sweep status {out} says why", err=True)
        raise typer.Exit(1)


def _kept(out: str) -> str:
    """What an interrupted sweep has, and goes on with."""
    from dalr.sweeps.display import counts_line
    from dalr.sweeps.execution.place import place_at
    from dalr.sweeps.search.snapshot import read_state

    try:
        return counts_line(read_state(place_at(out).folder))
    except InputError:
        return "no trial had begun"
