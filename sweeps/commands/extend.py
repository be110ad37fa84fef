"""`dalr sweep extend`: a trial that has ended trains on from its checkpoint, in a copy of its folder."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from dalr.config.loading import read_config
from dalr.config.overrides import parse_overrides, with_overrides
from dalr.errors import Failed, InputError
from dalr.files import Locked, locked, uri_of
from dalr.sweeps.analysis.outcome import write_trials
from dalr.sweeps.commands.completion import lengths
from dalr.sweeps.commands.control import Dir, Trial, answer, asked_once
from dalr.sweeps.commands.explain import config_again, folder_of
from dalr.sweeps.display import extension_text
from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.requests import ExtendedRun, new_request
from dalr.sweeps.search.snapshot import SweepState, read_state
from dalr.training.callbacks import ProgressCallback
from dalr.training.extension import LENGTH_KEYS, check_longer, extended
from dalr.training.run_folder import RunFolder


def extend(
    folder: Dir,
    trial: Trial,
    values: Annotated[
        list[str],
        typer.Argument(
            metavar="train.steps=N", help="How long it is to be.", show_default=False, autocompletion=lengths
        ),
    ],
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """Train a trial that has ended on from its checkpoint to more steps, here and now, in a copy of its folder.

    The copies, one for each seed, lie in DIR/extended and are runs as dalr train --extend makes them. The search
    compares its trials at one length, so the trial keeps its value there; what the longer runs reach stands in the
    study beside it. The same command goes on with one that was cut off.

    Example: dalr sweep extend sweeps/core 7 train.steps=4000
    """
    if uri := uri_of(folder):
        raise InputError(f"extend: {uri}: copy the sweep to a disk first, and extend the trial there")
    state = read_state(folder)
    asked = parse_overrides(values)
    ended = check_extension(state, trial, asked)
    request = asked_once(state, new_request("extend", trial, asked))
    try:
        longer = [extend_run(state, ended, place, asked, quiet=quiet) for place in range(len(ended.runs))]
    except InputError as error:
        answer(state, request, "refused", str(error))
        raise
    result = result_of(state, ended, longer)
    answer(state, request, "obeyed", result, longer)
    write_if_idle(folder)
    if not quiet:
        typer.echo(f"trial {trial}: {result}; {copy_of(state, ended, 0).path.parent}")


def check_extension(state: SweepState, number: int, asked: Mapping[str, Any]) -> TrialRecord:
    """The trial, if it can be trained on.

    Raises:
        InputError: it has not ended, or has no checkpoint any more; something else than a length is asked for, or one
            that it has passed.
    """
    if len(asked) != 1 or not set(asked) <= set(LENGTH_KEYS):
        raise InputError(f"extend: expected train.steps=N alone (or train.epochs=N), not {', '.join(asked)}")
    trial = state.trial(number)
    if trial.state == "running":
        raise InputError(f"trial {number} has not ended; dalr sweep stop {state.out} {number} ends it")
    if not trial.runs:
        raise InputError(f"trial {number} was never run ({trial.reason or trial.state})")
    for place in range(len(trial.runs)):
        original, longer = folder_of(state, trial, trial.runs[place]), copy_of(state, trial, place)
        kept = longer if longer.last_step() else original
        if not kept.last_step():
            raise InputError(
                f"trial {number}: {original.path} has no checkpoint any more: the best trials keep theirs, those "
                "stopped by hand, too, and all do with keep_models: all"
            )
        saved = read_config(kept.path / "config.yaml")
        wanted = with_overrides(saved, asked)
        check_longer(saved.train, wanted.train, f"trial {number}")
        extended(wanted, saved, kept.last_step(), ended=False)
    return trial


def copy_of(state: SweepState, trial: TrialRecord, place: int) -> RunFolder:
    """Where one seed's run of a trial is trained on."""
    return RunFolder(state.out.absolute() / "extended" / trial.name / f"seed-{trial.runs[place].seed}")


def extend_run(
    state: SweepState, trial: TrialRecord, place: int, asked: Mapping[str, Any], *, quiet: bool
) -> ExtendedRun:
    """Trains a copy of one seed's run on to the length that is asked for."""
    from dalr.training.loop import train

    run = trial.runs[place]
    config = with_overrides(config_again(state, trial, run), asked)
    longer = copy_of(state, trial, place)
    if not longer.path.is_dir():
        _copy(folder_of(state, trial, run).path, longer.path)
    progress = ProgressCallback(quiet=quiet)
    outcome = train(config, longer.path, callbacks=[progress], recipe=trial.recipe, quiet=quiet, extend=True)
    if not outcome.finished:
        raise Failed(f"stopped after step {outcome.steps} ({outcome.reason}); the same command continues")
    return ExtendedRun(run.seed, outcome.steps, outcome.best_score)


def _copy(source: Path, target: Path) -> None:
    """Copies a run's folder, whole or not at all."""
    aside = target.with_name(f".{target.name}.copying")
    shutil.rmtree(aside, ignore_errors=True)
    left_out = shutil.ignore_patterns(
        "*.lock", ".lock", ".attempt.lock", "ray", "tracking.json", "tensorboard", "wandb"
    )
    shutil.copytree(source, aside, ignore=left_out)
    aside.rename(target)


def result_of(state: SweepState, trial: TrialRecord, longer: Sequence[ExtendedRun]) -> str:
    """What the longer runs have reached, beside what the trial had."""
    before = "" if trial.best_so_far is None else f", {trial.best_so_far:.2f} after {trial.runs[0].steps}"
    return f"{extension_text(state.spec, longer)}{before}"


def write_if_idle(folder: Path) -> None:
    """Lets trials.parquet say that a trial was extended; a sweep that runs does so by itself."""
    with suppress(Locked), locked(folder / ".lock", seconds=0.0, what=f"the sweep in {folder}"):
        state = read_state(folder)
        write_trials(state, folder / "trials.parquet")
