"""How much each searched parameter matters, with an interval."""

import math
import warnings
from collections.abc import Container, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.samplers import distribution
from dalr.sweeps.spec.parts import Direction
from dalr.sweeps.spec.schema import SweepSpec

RESAMPLES = 30
RESAMPLE_SIZE = 500
"""A resample has at most so many trials: 30 of ten thousand would take most of a minute."""
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
    the whole space rather than against what the sampler drew; the interval is a bootstrap over trials. Of many
    trials a resample has only some, and its distance from the share is scaled by the square root of their part (the
    m-out-of-n bootstrap of Bickel, Götze and van Zwet 1997).
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
    frozen = [_complete({path: trial.point[path] for path in paths}, kinds, values[trial.number]) for trial in done]
    rng = np.random.default_rng(seed)
    size = min(len(frozen), RESAMPLE_SIZE)
    shares = np.array(_shares(frozen, spec.directions[0], paths))
    draws = (rng.integers(0, len(frozen), size) for _ in range(RESAMPLES))
    resampled = np.array([_shares([frozen[i] for i in draw], spec.directions[0], paths) for draw in draws])
    quantiles = np.quantile(resampled, [0.05, 0.95], axis=0)
    low, high = np.clip(shares + (quantiles - shares) * math.sqrt(size / len(frozen)), 0.0, 1.0)
    rows = zip(paths, shares.tolist(), low.tolist(), high.tolist(), strict=True)
    return sorted((Importance(done[0].recipe, *row, step) for row in rows), key=lambda importance: -importance.share)


def compared(spec: SweepSpec, trials: Sequence[TrialRecord]) -> tuple[int | None, dict[int, float]]:
    """By trial number what importance is judged by, and the step of that score (None: final values)."""
    if not spec.scheduler.by_steps:
        return None, {trial.number: trial.values[0] for trial in trials if trial.state == "complete" and trial.values}
    later = [step for trial in trials for step in trial.scores if step >= spec.scheduler.grace_steps]
    if not later:
        return None, {}
    step = min(later)
    scores = {trial.number: trial.scores[step] for trial in trials if step in trial.scores}
    return step, {number: score for number, score in scores.items() if math.isfinite(score)}


def _complete(params: dict[str, Any], kinds: dict[str, BaseDistribution], value: float) -> FrozenTrial:
    """A complete trial; `optuna.create_trial` would check each of thousands again."""
    return FrozenTrial(
        number=0, trial_id=0, state=TrialState.COMPLETE, value=value, datetime_start=None, datetime_complete=None,
        params=params, distributions=kinds, user_attrs={}, system_attrs={}, intermediate_values={},
    )  # fmt: skip


class _GivenTrials(InMemoryStorage):
    """Holds trials, under new numbers, as they are: Optuna's own storage copies each of them."""

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._given: list[FrozenTrial] = []
        known: set[int] = set()
        for number, trial in enumerate(trials):
            own = copy(trial) if id(trial) in known else trial  # a resample may have one twice
            known.add(id(trial))
            own.number = own._trial_id = number
            self._given.append(own)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """All of them; they are complete."""
        return self._given


def _shares(trials: Sequence[FrozenTrial], direction: Direction, paths: Sequence[str]) -> list[float]:
    study = optuna.create_study(direction=direction, storage=_GivenTrials(trials))
    with warnings.catch_warnings():
        # In a resample a parameter may be constant; Optuna says so, and its share is rightly 0.
        warnings.simplefilter("ignore")
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BETTER, evaluate_on_local=False)
        shares = get_param_importances(study, evaluator=evaluator, params=list(paths))
    return [shares.get(path, 0.0) for path in paths]
