"""Statistics against scipy, simulation and hand-made cases."""

import numpy as np
import pytest
from scipy import stats

from dalr.statistics import (
    compare_correctness,
    compare_similarities,
    holm,
    mean_interval,
    paired_permutation,
    pearson,
    spearman,
    spearman_interval,
)


def correlated(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, 11, n) / 2.0  # with ties
    return gold + noise * generator.normal(size=n), gold


def test_correlations_are_scipys() -> None:
    x, y = correlated(200, 1.0)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert spearman(x, -x) == -1.0
    assert spearman(np.full(5, 0.1), np.arange(5)) == pearson(np.arange(5), np.full(5, 0.1)) == 0.0


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


def test_a_better_model_is_seen_and_an_equal_one_is_not() -> None:
    better, gold = correlated(400, 1.0)
    worse = gold + 2.0 * np.random.default_rng(5).normal(size=400)
    found = compare_similarities(better, worse, gold)
    assert found.difference == pytest.approx(spearman(better, gold) - spearman(worse, gold), abs=1e-9)
    assert found.interval.low > 0
    assert found.p_value < 0.01
    rescaled = compare_similarities(better, 100 * better**3, gold)  # the same order on another scale
    assert rescaled.difference == pytest.approx(0.0, abs=1e-12)
    assert rescaled.p_value == 1.0


def test_permutation_p_values_are_uniform_without_a_difference() -> None:
    below = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        gold = generator.normal(size=60)
        a, b = gold + generator.normal(size=60), gold + generator.normal(size=60)
        below += compare_similarities(a, b, gold, resamples=200).p_value < 0.2
    assert 3 <= below <= 24  # 12 expected


def test_mcnemar_is_the_binomial_test_of_the_disagreements() -> None:
    first = np.array([1] * 70 + [1] * 12 + [0] * 3 + [0] * 15, dtype=bool)
    second = np.array([1] * 70 + [0] * 12 + [1] * 3 + [0] * 15, dtype=bool)
    found = compare_correctness(first, second)
    assert found.p_value == pytest.approx(stats.binomtest(12, 15, 0.5).pvalue)
    assert found.difference == pytest.approx(0.09)
    assert found.interval.low < 0.09 < found.interval.high
    assert compare_correctness(first, first).p_value == 1.0
    assert compare_correctness(second, first).difference == pytest.approx(-0.09)


def test_paired_permutation_over_seeds_is_exact() -> None:
    assert paired_permutation(np.array([3.0, 2, 4, 5]), np.zeros(4)) == pytest.approx(2 / 16)
    assert paired_permutation(np.array([1.0, -1]), np.zeros(2)) == 1.0


def test_holm_is_the_step_down_adjustment() -> None:
    found = holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.9})
    assert found == pytest.approx({"a": 0.09, "b": 0.04, "c": 0.09, "d": 0.9})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({}) == {}
    assert holm({"a": 0.8, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    with pytest.raises(ValueError, match="not a p-value"):
        holm({"a": 1.2})


def test_unequal_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="same two or more"):
        compare_correctness(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match="same two or more"):
        compare_similarities(np.ones(3), np.ones(3), np.ones(4))
