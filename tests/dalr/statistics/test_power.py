"""The number of seeds that a difference needs, by simulation."""

import numpy as np
from scipy import stats

from dalr.statistics.power import seeds_needed


def test_seeds_needed_have_the_power_that_is_promised() -> None:
    differences = [0.5, 1.5, -0.5, 1.0]
    n = seeds_needed(differences, level=0.05)
    assert n is not None
    rng = np.random.default_rng(0)
    drawn = rng.normal(np.mean(differences), np.std(differences, ddof=1), (4000, n))
    power = float(np.mean(stats.ttest_1samp(drawn, 0.0, axis=1).pvalue < 0.05))
    assert 0.75 < power < 0.95
    assert (seeds_needed(differences, level=0.01) or 0) > n


def test_without_mean_or_spread_no_number_is_given() -> None:
    assert seeds_needed([1.0], level=0.05) is None
    assert seeds_needed([1.0, 1.0], level=0.05) is None
    assert seeds_needed([1.0, -1.0], level=0.05) is None
    assert seeds_needed([1.0, -0.999], level=0.05) is None, "more than ten thousand"
