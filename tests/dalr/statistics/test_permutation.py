"""Permutation of examples, against SciPy: a planted effect is found, no effect is found at its rate."""

import numpy as np
import pytest
from scipy import stats

from dalr.statistics.permutation import mean_over_tasks, permuted_accuracy, permuted_spearman


def _similarities(generator: np.random.Generator, gold: np.ndarray, noises: tuple[float, ...]) -> list[np.ndarray]:
    shared = generator.normal(size=len(gold))  # two encoders err on the same pairs
    return [gold + noise * (shared + generator.normal(size=len(gold))) for noise in noises]


def test_a_null_effect_over_examples_is_flagged_at_its_rate() -> None:
    generator = np.random.default_rng(1)
    sts = accuracy = 0
    for index in range(1000):
        gold = generator.uniform(0, 5, 60)
        a, b = _similarities(generator, gold, (1.5, 1.5))
        sts += permuted_spearman([a], [b], gold, seed=index, count=199).p_value <= 0.05
        right = generator.random((2, 200)) < 0.8
        accuracy += permuted_accuracy([right[0]], [right[1]], seed=index, count=199).p_value <= 0.05
    assert stats.binomtest(sts, 1000, 0.05).pvalue > 0.001
    # Accuracies tie often, and a tie never counts against the null: at most the nominal rate.
    assert 10 <= accuracy <= 75


def test_a_planted_effect_over_examples_is_found() -> None:
    generator = np.random.default_rng(2)
    gold = generator.uniform(0, 5, 1000)
    a, b = _similarities(generator, gold, (1.2, 1.6))
    found = permuted_spearman([a], [b], gold, seed=0)
    expected = 100 * (stats.spearmanr(a, gold).statistic - stats.spearmanr(b, gold).statistic)
    assert found.observed == pytest.approx(expected)
    assert found.p_value < 0.001
    right = generator.random((2, 1500)) < np.array([[0.86], [0.80]])
    accuracy = permuted_accuracy([right[0]], [right[1]], seed=0)
    assert accuracy.observed == pytest.approx(100 * (right[0].mean() - right[1].mean()))
    assert accuracy.p_value < 0.01


def test_permutations_agree_with_scipy_s() -> None:
    generator = np.random.default_rng(3)
    gold = np.round(generator.uniform(0, 5, 80))
    a, b = _similarities(generator, gold, (1.0, 1.5))
    ranks = [stats.rankdata(x) for x in (a, b)]

    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        truth = stats.rankdata(gold)
        return stats.pearsonr(x, truth[None], axis=axis).statistic - stats.pearsonr(y, truth[None], axis=axis).statistic

    expected = stats.permutation_test(
        ranks, difference, permutation_type="samples", vectorized=True, n_resamples=4000, rng=np.random.default_rng(0)
    )
    found = permuted_spearman([a], [b], gold, seed=0, count=4000)
    assert found.observed == pytest.approx(100 * expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.03)
    assert found.permuted.std() == pytest.approx(100 * expected.null_distribution.std(), rel=0.05)


def test_equal_models_never_differ_and_seeds_and_tasks_average() -> None:
    generator = np.random.default_rng(4)
    gold = generator.uniform(0, 5, 100)
    a, b = _similarities(generator, gold, (1.0, 2.0))
    assert permuted_spearman([a], [a], gold, seed=0).p_value == 1.0
    assert permuted_accuracy([gold > 2], [gold > 2], seed=0).p_value == 1.0
    both = permuted_spearman([a, b], [b, b], gold, seed=0)
    one = permuted_spearman([a], [b], gold, seed=0)
    assert both.observed == pytest.approx(one.observed / 2)
    assert mean_over_tasks([one, both]).observed == pytest.approx(0.75 * one.observed)
