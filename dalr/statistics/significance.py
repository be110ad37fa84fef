"""The t-test over seeds: would other seeds turn the difference of two models around?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy

from dalr.statistics.intervals import CONFIDENCE, ConfidenceInterval

LEVEL = 0.05
"""A difference whose p-value lies below this is called significant."""
EQUAL = 1e-9  # scores that differ by less are equal: rounding makes up such differences

Seed = int | None
Scores = Mapping[Seed, float]
"""A model's score by seed, in points. None is the seed of a model that has none, such as an untrained one."""


@dataclass(frozen=True, kw_only=True)
class SeedTest:
    """Two models over seeds: ours minus theirs, in points.

    `difference` is the mean over the paired seeds, or of the two means where none is shared; `seeds` of
    each model (the fewer of both) took part. `p_value` is two-sided and `interval` is the 95 % interval of
    the difference; both are None below two seeds, and where nothing varies, so that nothing is known of
    the spread. `differences` are those of the paired seeds.
    """

    difference: float
    seeds: int
    paired: bool
    p_value: float | None = None
    interval: ConfidenceInterval | None = None
    differences: tuple[float, ...] = ()


def seed_pairs(ours: Iterable[Seed], theirs: Iterable[Seed]) -> list[tuple[Seed, Seed]]:
    """Which seeds of two models are compared with each other: those that both have; where one model
    has no seed (None alone), it with every seed of the other; else none."""
    mine, other = list(ours), list(theirs)
    if mine == [None] or other == [None]:
        return list(product(mine, other))
    return [(seed, seed) for seed in mine if seed is not None and seed in other]


def over_seeds(ours: Scores, theirs: Scores) -> SeedTest:
    """The t-test of the differences at the seeds that both models have; where they share none, Welch's
    t-test of the two means. (A permutation test of fewer than six paired seeds cannot give a p-value below 0.05.)

    A model without a seed is the same whatever the seed: it is compared with every seed of the other.
    """
    pairs = seed_pairs(ours, theirs)
    if pairs:
        differences = np.array([ours[mine] - theirs[other] for mine, other in pairs])
        # Of two models without a seed nothing is known but their one difference.
        return of_differences(differences, seeds=0 if pairs == [(None, None)] else None)
    one, other = np.array(list(ours.values())), np.array(list(theirs.values()))
    mixed = None in ours or None in theirs  # with and without a seed: no seed to pair, and no sample of seeds
    fewer = 0 if mixed else min(len(one), len(other))
    known = fewer > 1 and (varies(one) or varies(other))
    tested = scipy.stats.ttest_ind(one, other, equal_var=False) if known else None
    return _answer(float(one.mean() - other.mean()), fewer, tested, None)


def of_differences(differences: np.ndarray, *, seeds: int | None = None) -> SeedTest:
    """The t-test of differences in points, one for each of the `seeds` (None: as many as there are); float64 [n],
    n at least 1."""
    tested = scipy.stats.ttest_1samp(differences, 0.0) if varies(differences) else None
    return _answer(float(differences.mean()), len(differences) if seeds is None else seeds, tested, differences)


def varies(values: np.ndarray) -> bool:
    """Whether something can be said of the spread of values [n]."""
    return len(values) > 1 and float(np.ptp(values)) > EQUAL


def _answer(difference: float, seeds: int, tested: object, differences: np.ndarray | None) -> SeedTest:
    paired = differences is not None
    kept = () if differences is None else tuple(differences.tolist())
    if tested is None:
        return SeedTest(difference=difference, seeds=seeds, paired=paired, differences=kept)
    span = tested.confidence_interval(CONFIDENCE)  # type: ignore[attr-defined]
    return SeedTest(
        difference=difference,
        seeds=seeds,
        paired=paired,
        p_value=float(tested.pvalue),  # type: ignore[attr-defined]
        interval=ConfidenceInterval(float(span.low), float(span.high), CONFIDENCE, "t"),
        differences=kept,
    )
