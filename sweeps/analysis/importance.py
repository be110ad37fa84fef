"""How much each searched parameter matters, with an interval."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.samplers import distribution
from dalr.sweeps.spec.parts import Direction
from dalr.sweeps.spec.schema import SweepSpec

RESAMPLES = 30
BETTER = 0.5
"""Importance is of lying in the better half. Optuna's own choice, the best tenth, is two or three of a
sweep's trials, all from where the sampler had long settled on the values that matter most."""
FEWEST = 8
"""Below so many trials the answer would be noise."""


@dataclass(frozen=True)
class Importance:
    """A parameter's share (0 to 1, all of a recipe sum to 1) and the middle 90 % of it over resampled trials; of
    the score after `step` steps, or of the trials' values (None)."""

    recipe: str
    path: str
    share: float
    low: float
    high: float
    step: int | None = None


def importances(spec: SweepSpec, trials: Sequence[TrialRecord], *, seed: int = 0) -> list[Importance]:
    """PED-ANOVA (Watanabe et al. 2023, as Optuna has it) over the trials of one recipe, largest first, against
    the whole space rather than against what the sampler drew; the interval is a bootstrap over trials.
    Empty below `FEWEST` trials. Paths that only some points have are left out.

    Where a scheduler stops trials, the complete ones are few and alike; all trials are then compared by
    the score that they had when the first of them could be stopped.
    """
    step, values = compared(spec, trials)
    done = [trial for trial in trials if trial.number in values]
    paths = [path for path in spec.searched if all(path in trial.point for trial in done)]
    if len(done) < FEWEST or not paths:
        return []
    kinds = {path: distribution(spec.searched[path]) for path in paths}
    frozen = [
        optuna.trial.create_trial(
            params={path: trial.point[path] for path in paths}, distributions=kinds, value=values[trial.number]
        )
        for trial in done
    ]
    rng = np.random.default_rng(seed)
    draws = [np.arange(len(frozen)), *(rng.integers(0, len(frozen), len(frozen)) for _ in range(RESAMPLES))]
    shares = np.array([_shares([frozen[i] for i in draw], spec.directions[0], paths) for draw in draws])
    low, high = np.quantile(shares[1:], [0.05, 0.95], axis=0)
    rows = zip(paths, shares[0].tolist(), low.tolist(), high.tolist(), strict=True)
    return sorted((Importance(done[0].recipe, *row, step) for row in rows), key=lambda one: -one.share)


def compared(spec: SweepSpec, trials: Sequence[TrialRecord]) -> tuple[int | None, dict[int, float]]:
    """By trial number what importance is judged by, and the step of that score (None: final values)."""
    if spec.scheduler.name == "none":
        return None, {trial.number: trial.values[0] for trial in trials if trial.state == "complete" and trial.values}
    later = [step for trial in trials for step in trial.scores if step >= spec.scheduler.grace_steps]
    if not later:
        return None, {}
    step = min(later)
    scores = {trial.number: trial.scores[step] for trial in trials if step in trial.scores}
    return step, {number: score for number, score in scores.items() if math.isfinite(score)}


def _shares(trials: Sequence[FrozenTrial], direction: Direction, paths: Sequence[str]) -> list[float]:
    study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    with warnings.catch_warnings():
        # In a resample a parameter may be constant; Optuna says so, and its share is rightly 0.
        warnings.simplefilter("ignore")
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BETTER, evaluate_on_local=False)
        found = get_param_importances(study, evaluator=evaluator, params=list(paths))
    return [found.get(path, 0.0) for path in paths]
