"""`dalr sweep dashboard`: Optuna's own pages on a sweep's studies, with where each trial lies and how it went."""

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import optuna
import typer
from optuna.storages import RDBStorage

from dalr.errors import InputError
from dalr.progress import repeated
from dalr.sweeps.execution.place import question
from dalr.sweeps.search.database import close_storage, database_url, open_storage, quiet_optuna
from dalr.sweeps.search.records import TrialRecord, run_folder
from dalr.sweeps.search.snapshot import SweepState, read_state
from dalr.sweeps.search.study_schema import stored_name, trial_record

NOTES_EVERY = 30.0
"""Seconds between two looks for trials that have ended."""


def dashboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The sweep's folder.", show_default=False)],
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8080,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """Serve optuna-dashboard on a sweep, running or not, until interrupted (pip install 'dalr[dashboard]').

    Each ended trial has a note there: its number in the sweep, its fate, its folder, its curve.

    Example: dalr sweep dashboard sweeps/core --port 8080
    """
    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise InputError("optuna-dashboard is not installed: pip install 'dalr[dashboard]'") from error

    with question(folder) as place:
        state = read_state(place.folder)
    if not state.plans:
        raise InputError(f"{folder}: the sweep has not begun")
    quiet_optuna()
    storage = open_storage(database_url(state.spec, state.out))
    try:
        write_notes(storage, state)
        if not quiet:
            typer.echo(f"http://{host}:{port}/dashboard/ shows {folder}; Ctrl-C ends it", err=True)
        with repeated(lambda: write_notes(storage, state), NOTES_EVERY):
            run_server(storage, host=host, port=port)
    finally:
        close_storage(storage)


def write_notes(storage: RDBStorage, state: SweepState) -> None:
    """Writes a note for each ended trial that has none."""
    from optuna_dashboard import save_note

    for index, recipe in enumerate(state.spec.recipe):
        study = optuna.load_study(study_name=stored_name(storage, state.spec, recipe), storage=storage)
        noted = storage.get_study_system_attrs(study._study_id)
        for trial in study.get_trials(deepcopy=False):
            if trial.state.is_finished() and f"dashboard:{trial._trial_id}:note_ver" not in noted:
                record = trial_record(trial, recipe, trial.number * len(state.spec.recipe) + index)
                # The dashboard's function asks for a trial that runs, and reads no more of it than this.
                place = SimpleNamespace(storage=storage, study=study, _trial_id=trial._trial_id)
                save_note(place, note_of(state, record))


def note_of(state: SweepState, trial: TrialRecord) -> str:
    """A trial's note, in Markdown: its fate, the folders of its runs, and its curve."""
    reason = f": {trial.reason}" if trial.reason else ""
    lines = [f"**trial {trial.number} of {trial.recipe}**, {trial.state}{reason}", ""]
    for run in trial.runs:
        folder = run_folder(state.out.absolute(), trial.name, run.seed)
        curve = (folder / "metrics.jsonl").as_uri()
        lines.append(f"- seed {run.seed}: [{folder}]({folder.as_uri()}), [curve]({curve})")
    if trial.scores:
        lines += ["", f"| step | {state.spec.metric[0]} |", "| ---: | ---: |"]
        lines += [f"| {step} | {score:.2f} |" for step, score in sorted(trial.scores.items())]
    return "\n".join(lines)
