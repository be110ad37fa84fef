"""One trial in full: what it was, how it went, and whether it goes the same way again."""

import shutil
from collections.abc import Mapping

from dalr.config.loading import read_config
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.identity import Identity, identity_of
from dalr.metrics_log import read_log
from dalr.provenance import code_version, package_versions
from dalr.sweeps.display import request_lines, short
from dalr.sweeps.search.configs import run_config, search_config
from dalr.sweeps.search.records import RunRecord, TrialRecord, run_folder
from dalr.sweeps.search.snapshot import SweepState
from dalr.sweeps.spec.loading import base_configs
from dalr.training.callbacks import Callback, Diverged, StopTraining
from dalr.training.run_folder import RunFolder
from dalr.yaml_text import read_yaml

TOLERANCE = 0.005
"""Points of the metric within which two curves count as the same; results are printed to 0.01."""


def folder_of(state: SweepState, trial: TrialRecord, run: RunRecord) -> RunFolder:
    """The folder of one seed's run."""
    return RunFolder(run_folder(state.out, trial.name, run.seed))


def curve(folder: RunFolder, metric: str) -> dict[int, float]:
    """The evaluations of a run, step → score, from metrics.jsonl."""
    return {line["step"]: line[metric] for line in read_log(folder.metrics).lines if metric in line}


def explain(state: SweepState, number: int) -> list[str]:
    """The trial's point, each run's curve and fate, and its error if it has one.

    Raises:
        InputError: there is no such trial.
    """
    trial = state.trial(number)
    lines = [f"trial {trial.number} of {trial.recipe}: {trial.state}" + (f": {trial.reason}" if trial.reason else "")]
    lines += [f"  {path} = {short(value)}" for path, value in trial.point.items()]
    by_hand = [request for request in state.requests if request.trial == number or request.id == trial.added]
    lines += [f"  {line}" for line in request_lines(by_hand)]
    for run in trial.runs:
        folder = folder_of(state, trial, run)
        lines.append(
            f"seed {run.seed}: {run.state} after {run.steps} steps and {run.seconds:.0f} s, "
            f"config {run.fingerprint}, {folder.path}"
        )
        scores = curve(folder, state.spec.metric[0])
        if scores:
            points = "  ".join(f"{step}: {score:.2f}" for step, score in scores.items())
            lines.append(f"  {state.spec.metric[0]} by step: {points}")
        lines += [
            f"  extended to {longer.steps} steps"
            + ("" if longer.value is None else f": {state.spec.metric[0]} {longer.value:.2f}")
            for longer in state.extensions.get(number, ())
            if longer.seed == run.seed
        ]
        if run.reason and run.reason != trial.reason:
            lines.append(f"  {run.reason}")
        error = folder.path / "error.txt"
        if run.state == "failed" and error.is_file():
            lines += [f"  {line}" for line in error.read_text(encoding="utf-8").rstrip().splitlines()[-6:]]
    if trial.violation:
        lines.append(f"it breaks the constraints by {trial.violation:.3g}, so it cannot win")
    rank = next((place for place, point in enumerate(state.best(), 1) if point.point_id == trial.point_id), None)
    if trial.state == "complete" and rank:
        lines.append(f"rank {rank} of {len(state.best())} complete points")
    return lines


def config_again(state: SweepState, trial: TrialRecord, run: RunRecord) -> RunConfig:
    """The config of a run as it would be trained here and now: from its folder, or, where its data lie elsewhere
    by now, from the sweep's own specification.

    Raises:
        InputError: what it would train is not what the run trained.
    """
    folder = folder_of(state, trial, run)
    written = folder.path / "config.yaml"
    notes, config = folder.notes(), read_config(written)
    contents = notes.get("contents")  # earlier versions noted none
    noted = notes.get("config_fingerprint") if contents is None else Identity(config, contents).fingerprint
    if noted != run.fingerprint:
        raise InputError(f"{written} is not the config of trial {trial.number}: it was changed")
    try:
        identity = identity_of(config)
    except InputError:
        base = search_config(state.spec, base_configs(state.spec)[trial.recipe])
        config = run_config(base.dump(), state.spec.settings(trial.point), run.seed)
        identity = identity_of(config)
    if differences := identity.differences(read_yaml(written), notes):
        raise InputError(f"trial {trial.number} cannot be run again as it was: {', '.join(differences)}")
    return config


class _StopAt(Callback):
    """Ends a run where the trial had ended."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        if step >= self._step:
            raise StopTraining("the trial's last step")


def reproduce(state: SweepState, number: int, *, quiet: bool = False) -> tuple[list[str], bool]:
    """The trial's first run once more, with its config and seed, to its last step, in
    `reproduced/trial-N-seed-S`; whether every evaluation is met again.

    Raises:
        InputError: there is no such trial, or it was never run.
    """
    from dalr.training.loop import train

    trial = state.trial(number)
    if not trial.runs or not (folder_of(state, trial, trial.runs[0]).path / "config.yaml").is_file():
        raise InputError(f"trial {number} was never run ({trial.reason or 'it has no folder'})")
    run = trial.runs[0]
    original = folder_of(state, trial, run)
    config = config_again(state, trial, run)
    lines = differing_versions(original.notes())
    again = RunFolder(state.out / "reproduced" / original.path.name)
    shutil.rmtree(again.path, ignore_errors=True)  # what an earlier call left would only be read again
    try:
        train(config, again.path, callbacks=[_StopAt(run.steps)], recipe=trial.recipe, quiet=quiet)
    except Diverged as error:
        lines.append(f"it diverges again: {error}")
        return lines, trial.state == "failed"
    before, after = (curve(folder, config.evaluation.metric) for folder in (original, again))
    shared = [step for step in before if step in after and step <= run.steps]
    if not shared:
        return [*lines, f"trial {number} was never evaluated, so there is nothing to compare"], trial.state == "failed"
    gap = max(abs(before[step] - after[step]) for step in shared)
    same = gap <= TOLERANCE
    verdict = "the same" if same else "NOT the same"
    lines.append(
        f"trial {number}, seed {run.seed}, {run.steps} steps: {verdict}; {len(shared)} evaluations differ by at most "
        f"{gap:.4f} points; {again.path}"
    )
    return lines, same


def differing_versions(notes: Mapping[str, object]) -> list[str]:
    """One line for each version that is another now than when the trial ran."""
    then = {"code": notes.get("code_version"), **(notes.get("packages") or {})}  # type: ignore[dict-item]
    now = {"code": code_version(), **package_versions()}
    return [f"{name}: {then[name]} then, {now.get(name)} now" for name in then if then[name] != now.get(name)]
