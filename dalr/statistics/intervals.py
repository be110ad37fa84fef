"""Confidence intervals: of a score by the bootstrap, of a difference over seeds by the t distribution."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from dalr.statistics.correlation import spearman_rows

RESAMPLES = 1000
CONFIDENCE = 0.95
AT_ONCE = 1 << 20
"""Numbers in one block of resamples: 8 MB."""


@dataclass(frozen=True)
class ConfidenceInterval:
    """An interval of a statistic, in its unit. `level` is the confidence, 0 to 1; `method` says where it
    comes from: `bootstrap` (percentiles over resampled examples) or `t` (over seeds)."""

    low: float
    high: float
    level: float
    method: str


def spearman_interval(
    similarities: np.ndarray, gold: np.ndarray, *, resamples: int = RESAMPLES, level: float = CONFIDENCE, seed: int = 0
) -> ConfidenceInterval:
    """Interval of Spearman's correlation (a fraction) over pairs drawn with replacement; both [n]."""
    return bootstrap((similarities, gold), spearman_rows, resamples=resamples, level=level, seed=seed)


def mean_interval(
    values: np.ndarray, *, resamples: int = RESAMPLES, level: float = CONFIDENCE, seed: int = 0
) -> ConfidenceInterval:
    """Interval of the mean of [n] values over examples drawn with replacement. Of 0 and 1 the
    resampled sum is binomial, which is drawn as such."""
    values = np.asarray(values, dtype=np.float64)
    if np.isin(values, (0.0, 1.0)).all():
        drawn = np.random.default_rng(seed).binomial(len(values), values.mean(), resamples)
        return percentiles(drawn / len(values), level)
    return bootstrap((values,), lambda rows: rows.mean(-1), resamples=resamples, level=level, seed=seed)


def difference_interval(
    first: np.ndarray, second: np.ndarray, gold: np.ndarray, *, level: float = CONFIDENCE, seed: int = 0
) -> ConfidenceInterval:
    """Interval of the difference of two models' Spearman correlations (a fraction) with `gold` over pairs
    drawn with replacement; all [n]."""

    def difference(one: np.ndarray, other: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return spearman_rows(one, truth) - spearman_rows(other, truth)

    return bootstrap((first, second, gold), difference, resamples=RESAMPLES, level=level, seed=seed)


def accuracy_difference_interval(
    first: np.ndarray, second: np.ndarray, *, level: float = CONFIDENCE, seed: int = 0
) -> ConfidenceInterval:
    """Interval of the difference of two accuracies (a fraction) over examples drawn with replacement, from
    correctness, bool [n]: how many are won and lost is multinomial."""
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    shares = np.array([won, lost, len(first) - won - lost]) / len(first)
    drawn = np.random.default_rng(seed).multinomial(len(first), shares, RESAMPLES)
    return percentiles((drawn[:, 0] - drawn[:, 1]) / len(first), level)


def bootstrap(
    data: tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray],
    *,
    resamples: int,
    level: float,
    seed: int,
) -> ConfidenceInterval:
    """Percentile interval of `statistic`, which takes arrays [..., n] and answers [...], over rows of
    `data` (arrays [n]) that are drawn together, with replacement."""

    def along_last(*arrays: np.ndarray, axis: int = -1) -> np.ndarray:
        return statistic(*(np.moveaxis(array, axis, -1) for array in arrays))

    draws = scipy.stats.bootstrap(
        data,
        along_last,
        n_resamples=resamples,
        batch=max(1, AT_ONCE // len(data[0])),
        paired=len(data) > 1,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).bootstrap_distribution
    return percentiles(draws, level)


def percentiles(draws: np.ndarray, level: float) -> ConfidenceInterval:
    """The middle `level` of resampled values [resamples]."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return ConfidenceInterval(float(low), float(high), level, "bootstrap")
