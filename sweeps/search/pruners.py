"""What decides on early stops. Each reads earlier trials from the study, so a sweep that goes on after a crash stops by
the same scores."""

import warnings

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)

from dalr.errors import InputError
from dalr.sweeps.search.samplers import experimental_allowed
from dalr.sweeps.spec.parts import SchedulerSpec


def make_pruner(spec: SchedulerSpec, steps: int | None) -> BasePruner:
    """The pruner of a study whose trials train for `steps` (None: until their data end).

    Raises:
        InputError: Hyperband, whose brackets depend on the steps, without `train.steps`.
    """
    match spec.name:
        case "asha":
            return SuccessiveHalvingPruner(min_resource=spec.grace_steps, reduction_factor=spec.reduction)
        case "hyperband":
            if steps is None:
                raise InputError("scheduler: hyperband divides the steps of a trial into brackets; set train.steps")
            return HyperbandPruner(min_resource=spec.grace_steps, max_resource=steps, reduction_factor=spec.reduction)
        case "median":
            return MedianPruner(n_startup_trials=spec.reduction, n_warmup_steps=spec.grace_steps - 1)
        case "wilcoxon":
            with experimental_allowed():
                return WilcoxonPruner(p_threshold=spec.p_threshold)
        case _:
            return NopPruner()


def should_prune(trial: optuna.Trial) -> bool:
    """Whether the study's pruner would stop a trial now."""
    with warnings.catch_warnings():
        # A repeated point has seeds that the best one lacks; they are left out of the comparison.
        warnings.filterwarnings("ignore", message="WilcoxonPruner finds steps existing in the current trial")
        return trial.should_prune()
