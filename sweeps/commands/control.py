"""`dalr sweep stop`, `pause`, `resume`, `skip`, `add` and `set`: requests to a sweep, from any shell that sees its
folder or its database."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dalr.errors import Failed, InputError
from dalr.sweeps.commands.completion import keys_searched, keys_to_set, trials_begun

if TYPE_CHECKING:
    from dalr.sweeps.search.requests import Action, ExtendedRun, Request, RequestLog, RequestState
    from dalr.sweeps.search.snapshot import SweepState

WAIT_SECONDS = 10.0
"""How long a command waits for the sweep's answer."""
POLL_SECONDS = 0.3

Dir = Annotated[Path, typer.Argument(metavar="DIR", help="The sweep's folder.", show_default=False)]
Trial = Annotated[
    int,
    typer.Argument(metavar="TRIAL", min=0, help="The trial's number.", show_default=False, autocompletion=trials_begun),
]
Waiting = Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.", show_default=False)]
AnyTrial = Annotated[
    int | None,
    typer.Argument(
        metavar="TRIAL",
        min=0,
        help="A trial's number; without it, the whole sweep.",
        show_default=False,
        autocompletion=trials_begun,
    ),
]
Searched = Annotated[
    list[str],
    typer.Argument(metavar="KEY=VALUE", help="The point.", show_default=False, autocompletion=keys_searched),
]
Settings = Annotated[
    list[str],
    typer.Argument(metavar="KEY=VALUE", help="What and to what.", show_default=False, autocompletion=keys_to_set),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only errors.")]


def stop(folder: Dir, trial: AnyTrial = None, quiet: Quiet = False) -> None:
    """End a trial, or the whole sweep: the present step is finished, the checkpoint kept.

    A trial that is stopped has no value, is never handed out again, and teaches the sampler nothing. A sweep that
    is stopped goes on with the same dalr sweep command, its trials from their checkpoints.

    Example: dalr sweep stop sweeps/core 7
    """
    ask(folder, "stop", trial, quiet=quiet)


def pause(folder: Dir, trial: AnyTrial = None, quiet: Quiet = False) -> None:
    """Let a trial, or all, save and leave their workers until dalr sweep resume.

    A sweep waits for a trial that is paused, and stays paused itself over a kill.

    Example: dalr sweep pause sweeps/core 7
    """
    ask(folder, "pause", trial, quiet=quiet)


def resume(folder: Dir, trial: AnyTrial = None, quiet: Quiet = False) -> None:
    """Let what was paused go on from its checkpoint.

    Example: dalr sweep resume sweeps/core 7
    """
    ask(folder, "resume", trial, quiet=quiet)


def skip(folder: Dir, trial: Waiting, quiet: Quiet = False) -> None:
    """Leave out a trial that has not begun: one of a grid or of arms, a start point, or an added one.

    It keeps its number, is not run, and no budget counts it.

    Example: dalr sweep skip sweeps/core 12
    """
    ask(folder, "skip", trial, quiet=quiet)


def add(folder: Dir, values: Searched, quiet: Quiet = False) -> None:
    """Let the next trial have these values; paths that are left out are drawn. It counts in the budget.

    Where a sweep has several recipes, recipe=NAME says whose search gets the trial.

    Example: dalr sweep add sweeps/core optim.learning_rate=3e-4 data.pair_every=1
    """
    ask(folder, "add", values=values, quiet=quiet)


def set_values(folder: Dir, values: Settings, quiet: Quiet = False) -> None:
    """Change a sweep while it runs: budget.*, stop.*, seeds.final, seeds.final_top, resources.concurrent, keep_models.

    It stays so when the same command continues the sweep, until a command gives that key another value.

    Example: dalr sweep set sweeps/core budget.trials=60 resources.concurrent=4
    """
    ask(folder, "set", values=values, quiet=quiet)


def ask(folder: Path, action: "Action", trial: int | None = None, values: Sequence[str] = (), *, quiet: bool) -> None:
    """Checks a request, writes it down, and waits a moment for the answer.

    Raises:
        InputError: it makes no sense; the folder holds no sweep, or one that has not begun.
        Failed: nobody has heard that a sweep is to end.
    """
    from dalr.config.overrides import parse_overrides  # a shell that completes words does without these
    from dalr.sweeps.execution.place import question
    from dalr.sweeps.search.request_checks import check_request
    from dalr.sweeps.search.requests import new_request
    from dalr.sweeps.search.snapshot import read_state

    request = new_request(action, trial, parse_overrides(values))
    with question(folder) as place:
        state = read_state(place.folder)
    if not state.plans:
        raise InputError(f"{folder}: the sweep has not begun; say it to dalr sweep SPEC --out {folder} instead")
    check_request(state, request)
    answered = _written(state, request)
    if answered.state == "refused":
        raise InputError(f"{request.words}: {answered.answer}")
    waited = f"nobody has answered within {WAIT_SECONDS:.0f} s"
    if answered.state == "asked" and request.action == "stop" and request.trial is None:
        raise Failed(f"{request.words}: {waited}; does the sweep run? One that starts later does not obey it")
    if not quiet:
        typer.echo(_told(answered, waited))


def _told(request: "Request", waited: str) -> str:
    if request.state == "obeyed":
        return f"{request.words}: {request.answer}"
    return f"{request.words}: written down; it is obeyed when the sweep runs ({waited})"


def _written(state: "SweepState", request: "Request") -> "Request":
    """Writes a request down; the request with its answer, if one came soon."""
    with _log(state) as log:
        log.ask(request)
        deadline = time.monotonic() + WAIT_SECONDS
        while (answered := log.get(request)).state == "asked" and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return answered


@contextmanager
def _log(state: "SweepState") -> Iterator["RequestLog"]:
    import optuna

    from dalr.sweeps.search.database import close_storage, database_url, open_storage
    from dalr.sweeps.search.requests import RequestLog
    from dalr.sweeps.search.study_schema import stored_name

    storage = open_storage(database_url(state.spec, state.out))
    try:
        name = stored_name(storage, state.spec, state.spec.recipe[0])
        yield RequestLog(optuna.load_study(study_name=name, storage=storage))
    finally:
        close_storage(storage)


def asked_once(state: "SweepState", request: "Request") -> "Request":
    """Writes a request down that this process obeys itself. One that was asked for before and cut off is taken up
    again, not written a second time."""
    with _log(state) as log:
        before = next((known for known in log.pending() if known.words == request.words), None)
        if before is None:
            log.ask(request)
        return before or request


def answer(
    state: "SweepState", request: "Request", to: "RequestState", text: str, extended: Sequence["ExtendedRun"] = ()
) -> None:
    """Writes down what has become of a request that this process takes care of itself."""
    with _log(state) as log:
        log.answer(request, to, text, extended)
