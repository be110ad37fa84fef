"""The expected best of n trials (Dodge et al. 2019, "Show Your Work")."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ExpectedBest:
    """Mean and standard deviation of the best of `trials` values; all three are arrays of one length."""

    trials: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def expected_best(
    values: Sequence[float] | np.ndarray, *, highest: bool = True, trials: Sequence[int] | np.ndarray | None = None
) -> ExpectedBest:
    """The best of n values drawn with replacement from `values` [N], for each n of `trials` (without: 1
    to N). `highest` says whether the best is the highest or the lowest. NaN stands for a trial without a
    value and counts as the worst. Empty where no value is known.

    Equation 1 of the paper: the best of n is at most the i-th smallest with probability (i/N)^n.
    """
    signed = np.asarray(values, dtype=np.float64) * (1.0 if highest else -1.0)
    total = len(signed)
    if np.isnan(signed).all():
        return ExpectedBest(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
    ns = np.arange(1, total + 1) if trials is None else np.asarray(trials)
    ordered = np.sort(np.where(np.isnan(signed), np.nanmin(signed), signed))
    at_most = (np.arange(total + 1) / total)[None, :] ** ns[:, None]
    chance = np.diff(at_most, axis=1)  # [trials, N]: that the best of n is the i-th smallest
    mean = chance @ ordered
    deviation = np.sqrt(np.maximum(chance @ ordered**2 - mean**2, 0.0))
    return ExpectedBest(ns, mean if highest else -mean, deviation)
