"""The expected best of n trials, against drawing."""

import math

import numpy as np
import pytest

from dalr.statistics.best_of_n import expected_best


def test_expected_best_is_that_of_repeated_drawing() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=30)
    curve = expected_best(values)
    assert curve.trials.tolist() == list(range(1, 31))
    assert curve.mean[0] == pytest.approx(values.mean())
    drawn = generator.choice(values, size=(40_000, 5)).max(axis=1)
    assert curve.mean[4] == pytest.approx(drawn.mean(), abs=0.02)
    assert curve.deviation[4] == pytest.approx(drawn.std(), abs=0.02)
    assert (np.diff(curve.mean) > 0).all()
    some = expected_best(values, trials=[1, 5])
    assert some.mean == pytest.approx(curve.mean[[0, 4]])


def test_failed_trials_count_as_the_worst_and_lowest_mirrors_highest() -> None:
    assert expected_best([1.0, math.nan]).mean[0] == 1.0
    lowest = expected_best([1.0, 3.0, math.nan], highest=False)
    assert lowest.mean.tolist() == sorted(lowest.mean, reverse=True)
    assert lowest.mean[0] == pytest.approx((1 + 3 + 3) / 3)
    values = [60.0, 71.0, 65.0, 68.0]
    negated = expected_best([-value for value in values], highest=False)
    assert expected_best(values).mean == pytest.approx(-negated.mean)
    assert len(expected_best([math.nan]).mean) == len(expected_best([]).mean) == 0
