"""Intervals against SciPy's bootstrap and known errors."""

import numpy as np
import pytest
from scipy import stats

from dalr.statistics.correlation import spearman
from dalr.statistics.intervals import (
    accuracy_difference_interval,
    difference_interval,
    mean_interval,
    spearman_interval,
)
from tests.dalr.statistics import correlated


def test_spearman_interval_agrees_with_scipys_bootstrap() -> None:
    x, y = correlated(300, 2.0)
    ours = spearman_interval(x, y, resamples=2000)
    theirs = stats.bootstrap(
        (x, y),
        lambda a, b: stats.spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=500,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert ours.low < spearman(x, y) < ours.high
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)
    assert spearman_interval(x, y, resamples=2000) == ours


def test_mean_interval_of_correctness_and_of_scores() -> None:
    correct = np.arange(1000) < 800
    found = mean_interval(correct)
    error = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert (found.low, found.high) == pytest.approx((0.8 - error, 0.8 + error), abs=0.005)
    scores = np.random.default_rng(0).normal(75.0, 1.0, 400)
    found = mean_interval(scores)
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_an_interval_of_a_difference_covers_it() -> None:
    better, gold = correlated(400, 1.0)
    worse = gold + 2.0 * np.random.default_rng(5).normal(size=400)
    found = difference_interval(better, worse, gold)
    assert 0 < found.low < spearman(better, gold) - spearman(worse, gold) < found.high
    assert (found.level, found.method) == (0.95, "bootstrap")
    right = np.arange(1000) < np.array([[850], [800]])
    found = accuracy_difference_interval(right[0], right[1])
    error = 1.96 * np.sqrt(0.05 * 0.95 / 1000)
    assert (found.low, found.high) == pytest.approx((0.05 - error, 0.05 + error), abs=0.004)
