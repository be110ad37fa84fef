"""Planned contrasts: values by seed, Holm over the family, equivalence by two one-sided tests."""

import numpy as np
import pytest
from scipy import stats

from dalr.statistics.contrasts import check_contrast, contrast_tests, equivalence

ARMS = ("neither", "images", "teacher", "both")
PLANNED = {
    "images given no teacher": {"images": 1.0, "neither": -1.0},
    "images given a teacher": {"both": 1.0, "teacher": -1.0},
    "the teacher given no images": {"teacher": 1.0, "neither": -1.0},
    "the teacher given images": {"both": 1.0, "images": -1.0},
    "interaction": {"both": 1.0, "teacher": -1.0, "images": -1.0, "neither": 1.0},
}


def _scores() -> dict[str, dict[int | None, float]]:
    """Six seeds that move all arms together; images add 2 points, the teacher 3, both 3.1."""
    generator = np.random.default_rng(5)
    shared = generator.normal(0, 1, 6)
    gains = {"neither": 0.0, "images": 2.0, "teacher": 3.0, "both": 3.1}
    noise = {arm: generator.normal(0, 0.2, 6) for arm in ARMS}
    return {arm: {s + 1: 60 + gains[arm] + shared[s] + noise[arm][s] for s in range(6)} for arm in ARMS}


def test_a_factorial_s_contrasts_are_those_of_numpy_and_scipy() -> None:
    scores = _scores()
    table = np.array([[scores[arm][seed] for arm in ARMS] for seed in range(1, 7)])
    found = contrast_tests(PLANNED, scores)
    raw = []
    for test in found:
        values = table @ [PLANNED[test.name].get(arm, 0.0) for arm in ARMS]
        expected = stats.ttest_1samp(values, 0.0)
        low, high = expected.confidence_interval(0.95)
        assert test.over_seeds.difference == pytest.approx(values.mean())
        assert test.over_seeds.interval is not None
        assert (test.over_seeds.interval.low, test.over_seeds.interval.high) == pytest.approx((low, high))
        assert (test.over_seeds.seeds, test.over_seeds.p_value) == (6, pytest.approx(expected.pvalue))
        raw.append(expected.pvalue)
    order = np.argsort(raw)
    stepped = np.maximum.accumulate(np.sort(raw) * np.arange(5, 0, -1)).clip(max=1)
    assert [found[place].holm for place in order] == pytest.approx(stepped)
    assert found[-1].name == "interaction"
    assert found[-1].over_seeds.difference == pytest.approx(-1.9, abs=0.5)


def test_equivalence_is_that_the_90_percent_interval_lies_within_the_margin() -> None:
    generator = np.random.default_rng(2)
    answers = set()
    for _ in range(40):
        values = generator.normal(generator.uniform(-0.6, 0.6), 0.3, 6)
        half = stats.t.ppf(0.95, 5) * values.std(ddof=1) / np.sqrt(6)
        within = values.mean() - half > -0.5 and values.mean() + half < 0.5
        p_value = equivalence(values, 0.5)
        assert p_value is not None
        assert (p_value < 0.05) == within
        answers.add(within)
    assert answers == {True, False}


def test_only_seeds_that_all_arms_have_count() -> None:
    scores = _scores()
    del scores["images"][2], scores["neither"][5]
    by_name = {test.name: test for test in contrast_tests(PLANNED, scores)}
    assert by_name["images given no teacher"].over_seeds.seeds == by_name["interaction"].over_seeds.seeds == 4
    assert by_name["images given a teacher"].over_seeds.seeds == 6
    del scores["both"]
    left = contrast_tests(PLANNED, scores)
    assert [test.name for test in left] == ["images given no teacher", "the teacher given no images"]


def test_of_one_seed_nothing_is_tested() -> None:
    (test,) = contrast_tests({"a": {"images": 1.0, "neither": -1.0}}, {"images": {1: 62.0}, "neither": {1: 60.0}})
    assert (test.over_seeds.difference, test.holm, test.equivalence_p) == (2.0, None, None)
    assert not test.found
    assert not test.equivalent


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"both": 1.0, "teachers": -1.0}, "x: no arm is called 'teachers'; the arms are: neither, images"),
        ({"both": 1.0, "teacher": -0.5}, "x: the weights sum to 0.5, not to 0"),
        ({"both": 0.0}, "at least two arms"),
        ({}, "at least two arms"),
        ({"both": float("nan")}, "at least two arms"),
    ],
)
def test_what_is_no_contrast_is_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_contrast("x", weights, ARMS)
