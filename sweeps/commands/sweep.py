"""The command `dalr sweep`: a search, or a question about one."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dalr.errors import InputError, Interrupted

QUESTIONS = ("status", "best", "why", "reproduce")


def _specs_like(incomplete: str) -> list[str]:
    """What a shell may complete the first word to."""
    from dalr.sweeps.spec.loading import bundled_specs

    return [name for name in (*bundled_specs(), *QUESTIONS) if name.startswith(incomplete)]


def _changes_like(incomplete: str) -> list[str]:
    """The keys, of the specification and of the config, that a shell may complete a word to."""
    from dalr.config.keys import known_keys
    from dalr.sweeps.spec.other_names import spec_keys

    return [f"{key}=" for key in (*spec_keys(), *known_keys()) if key.startswith(incomplete)]


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
        typer.Argument(
            help="A YAML file or a bundled sweep's name; or status, best, why, reproduce.", autocompletion=_specs_like
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE|DIR TRIAL]...",
            help="key=value for a sweep; DIR [TRIAL] for a question.",
            show_default=False,
            autocompletion=_changes_like,
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
    watch: Annotated[bool, typer.Option("--watch", help="status: refresh until interrupted.")] = False,
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

    A SPEC is a YAML file or the name of a bundled sweep (--list). Words such as budget.trials=40 or
    train.steps=400 change it. Questions about a sweep's folder:

    dalr sweep status DIR (counts, budget, best so far; --watch), dalr sweep best DIR, dalr sweep why DIR
    TRIAL (its config, curve and fate), dalr sweep reproduce DIR TRIAL (the same trial again).

    Steering one while it runs, each with its own --help: dalr sweep stop DIR [TRIAL], pause DIR [TRIAL],
    resume DIR [TRIAL], skip DIR TRIAL, add DIR KEY=VALUE..., set DIR budget.trials=60. Later: extend DIR TRIAL
    train.steps=N. In a browser: dalr sweep dashboard DIR.

    Example: dalr sweep dalr_core --out sweeps/core budget.trials=24 train.steps=400
    """
    if spec in QUESTIONS:
        _answer(spec, arguments or [], watch=watch, quiet=quiet)
        return
    search(spec, arguments or [], search_folder(out, watch=watch), strict=strict, report_to=report_to, quiet=quiet)


def search_folder(out: str | None, *, watch: bool) -> str:
    """The folder of a search; what else the options say must suit one."""
    if out is None:
        raise InputError("where to? Give the sweep's folder: dalr sweep SPEC --out DIR")
    if watch:
        raise InputError("--watch belongs to dalr sweep status DIR; a running sweep shows its own table")
    return out


def check_search(
    spec: str, arguments: Sequence[str] = (), out: str | None = None, watch: bool = False, **options: object
) -> None:
    """Checks a specification and the words that change it. One of an absolute path that is not here may lie on the
    cluster: it is left to the command.

    Raises:
        InputError: as `sweep`, for what is wrong wherever it runs.
    """
    if spec in QUESTIONS:
        return
    folder = search_folder(out, watch=watch)
    if Path(spec).is_absolute() and not Path(spec).exists():
        return
    from dalr.sweeps.spec.checks import check_place
    from dalr.sweeps.spec.loading import base_configs, load_spec

    loaded = load_spec(spec, list(arguments))
    check_place(loaded, folder)
    base_configs(loaded)


def _answer(question: str, arguments: Sequence[str], *, watch: bool, quiet: bool) -> None:
    wanted = 2 if question in ("why", "reproduce") else 1
    if len(arguments) != wanted:
        raise InputError(f"expected: dalr sweep {question} DIR{' TRIAL' * (wanted == 2)}")
    folder = Path(arguments[0])
    from dalr.sweeps.commands.status import best, status

    if question == "status":
        with contextlib.suppress(KeyboardInterrupt) if watch else contextlib.nullcontext():  # that is how it ends
            status(folder, watch=watch, quiet=quiet)
    elif question == "best":
        best(folder, quiet=quiet)
    elif question == "why":
        why(folder, _number(arguments[1]), quiet=quiet)
    else:
        reproduce_trial(folder, _number(arguments[1]), quiet=quiet)


def _number(word: str) -> int:
    if not word.isdigit():
        raise InputError(f"{word!r} is not a trial's number (0, 1, ...; dalr sweep status DIR lists them)")
    return int(word)


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


def why(folder: Path, number: int, *, quiet: bool = False) -> None:
    """A trial's config, curve and fate."""
    from dalr.sweeps.commands.explain import explain
    from dalr.sweeps.execution.place import question
    from dalr.sweeps.search.snapshot import read_state, trial_runs

    with question(folder) as place:
        state = read_state(place.folder, scores=False)
        place.fetch_runs(trial_runs(state, number))
    lines = explain(state, number)
    if not quiet:
        typer.echo("\n".join(lines))


def reproduce_trial(folder: Path, number: int, *, quiet: bool = False) -> None:
    """Runs a trial again in this process. Exit code 1 where its scores are not met again."""
    from dalr.sweeps.commands.explain import reproduce
    from dalr.sweeps.execution.place import question
    from dalr.sweeps.search.snapshot import read_state, trial_runs

    with question(folder) as place:
        state = read_state(place.folder)
        place.fetch_runs(trial_runs(state, number))
    lines, same = reproduce(state, number, quiet=quiet)
    if not quiet:
        typer.echo("\n".join(lines))
    if not same:
        raise typer.Exit(1)
