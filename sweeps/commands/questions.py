"""`dalr sweep status`, `best`, `why` and `reproduce`: questions to a sweep's folder, while it runs or later."""

import contextlib
from typing import Annotated

import typer

from dalr.sweeps.commands.control import Dir, Quiet, Trial


def status(
    folder: Dir,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until interrupted.")] = False,
    quiet: Quiet = False,
) -> None:
    """Show how a sweep stands: its counts and budget, the best and the running trials, failures, requests.

    Example: dalr sweep status sweeps/core --watch
    """
    from dalr.sweeps.commands.status import show_status

    with contextlib.suppress(KeyboardInterrupt) if watch else contextlib.nullcontext():  # that is how it ends
        show_status(folder, watch=watch, quiet=quiet)


def best(folder: Dir, quiet: Quiet = False) -> None:
    """Name the best trial, whether it beats the recipe, and what mattered.

    Its config lies in DIR/best.yaml, for dalr train.

    Example: dalr sweep best sweeps/core
    """
    from dalr.sweeps.commands.status import show_best

    show_best(folder, quiet=quiet)


def why(folder: Dir, trial: Trial, quiet: Quiet = False) -> None:
    """Tell a trial's config, its curve, and why it ended.

    Example: dalr sweep why sweeps/core 7
    """
    from dalr.sweeps.commands.explain import explain
    from dalr.sweeps.execution.place import question
    from dalr.sweeps.search.snapshot import read_state, trial_runs

    with question(folder) as place:
        state = read_state(place.folder, scores=False)
        place.fetch_runs(trial_runs(state, trial))
    lines = explain(state, trial)
    if not quiet:
        typer.echo("\n".join(lines))


def reproduce(folder: Dir, trial: Trial, quiet: Quiet = False) -> None:
    """Run a trial again in this process, and compare its scores. Exit code 1 where they are not met again.

    Example: dalr sweep reproduce sweeps/core 7
    """
    from dalr.sweeps.commands.explain import reproduce as run_again
    from dalr.sweeps.execution.place import question
    from dalr.sweeps.search.snapshot import read_state, trial_runs

    with question(folder) as place:
        state = read_state(place.folder)
        place.fetch_runs(trial_runs(state, trial))
    lines, same = run_again(state, trial, quiet=quiet)
    if not quiet:
        typer.echo("\n".join(lines))
    if not same:
        raise typer.Exit(1)
