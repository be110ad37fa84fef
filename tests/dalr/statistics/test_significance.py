"""The t-test over seeds, against SciPy and by its rate of false alarms."""

import numpy as np
import pytest
from scipy import stats

from dalr.statistics.significance import over_seeds


def test_over_seeds_is_the_paired_t_test_of_the_seeds_that_both_have() -> None:
    ours, theirs = {1: 70.1, 2: 71.3, 3: 70.8, 4: 99.0}, {1: 69.0, 2: 69.9, 3: 70.1, 5: 0.0}
    found = over_seeds(ours, theirs)
    expected = stats.ttest_rel([70.1, 71.3, 70.8], [69.0, 69.9, 70.1]).pvalue
    assert (found.seeds, found.paired, found.p_value) == (3, True, pytest.approx(expected))


def test_a_model_without_a_seed_stands_against_every_seed() -> None:
    trained = {1: 70.1, 2: 71.3, 3: 70.8}
    expected = stats.ttest_1samp([70.1, 71.3, 70.8], 69.5).pvalue
    for found in (over_seeds(trained, {None: 69.5}), over_seeds({None: 69.5}, trained)):
        assert (found.seeds, found.p_value) == (3, pytest.approx(expected))


def test_seeds_that_are_not_shared_are_compared_by_welch() -> None:
    ours, theirs = {1: 70.1, 2: 71.3, 3: 70.8}, {1001: 69.0, 1002: 69.9}
    found = over_seeds(ours, theirs)
    expected = stats.ttest_ind(list(ours.values()), list(theirs.values()), equal_var=False).pvalue
    assert (found.seeds, found.paired, found.p_value) == (2, False, pytest.approx(expected))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({1: 70.0}, {1: 60.0}),
        ({1: 70.0, 2: 71.0}, {3: 60.0}),
        ({1: 70.0, 2: 70.0}, {3: 60.0, 4: 60.0}),
        ({1: 70.0, 2: 71.0}, {1: 69.0, 2: 70.0}),
        ({None: 1.0}, {None: 2.0}),
    ],
)
def test_over_seeds_says_nothing_where_nothing_can_be_said(ours: dict, theirs: dict) -> None:
    assert over_seeds(ours, theirs).p_value is None


def test_a_null_effect_over_seeds_is_flagged_at_its_rate() -> None:
    generator = np.random.default_rng(0)
    flagged = unpaired = 0
    for scores in generator.normal(70, 0.5, size=(1000, 2, 5)):
        ours, theirs = (dict(enumerate(row, 1)) for row in scores)
        others = {seed + 100: score for seed, score in theirs.items()}
        flagged += (over_seeds(ours, theirs).p_value or 1.0) < 0.05
        unpaired += (over_seeds(ours, others).p_value or 1.0) < 0.05
    assert 20 <= unpaired <= 65  # Welch's test of five seeds is a little careful
    assert stats.binomtest(flagged, 1000, 0.05).pvalue > 0.001
