"""Planned contrasts: weighted sums of several models' scores, tested over seeds as one family, each also for
equivalence.

`{both: 1, teacher: -1}` is a difference; `{both: 1, teacher: -1, images: -1, neither: 1}` is an interaction: what
images add where there is a teacher, minus what they add where there is none. The value of a contrast is formed
seed by seed, so that what the runs of one seed share (the order of the batches, the initial heads) cancels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from dalr.statistics.correction import holm
from dalr.statistics.significance import LEVEL, Scores, SeedTest, of_differences, varies

MARGIN = 0.5
"""Points within which two models count as equal, unless the user says otherwise."""

Weights = Mapping[str, float]
"""The weight of each arm in a contrast, by name; they sum to zero."""


@dataclass(frozen=True, kw_only=True)
class ContrastTest:
    """One contrast: `over_seeds` has its value in points, its 95 % interval and its p-value before, `holm` the
    p-value after the correction over its family. `equivalence_p` is that of the two one-sided tests (TOST,
    Schuirmann 1987) of a value within ±`margin`, not corrected. None where nothing varies or there is one seed."""

    name: str
    weights: Weights
    margin: float
    over_seeds: SeedTest
    equivalence_p: float | None
    holm: float | None = None

    @property
    def found(self) -> bool:
        """Whether the contrast differs from 0 at the 5 % level."""
        return self.holm is not None and self.holm < LEVEL

    @property
    def equivalent(self) -> bool:
        """Whether it lies within the margin at the 5 % level."""
        return self.equivalence_p is not None and self.equivalence_p < LEVEL

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two arms of a plain difference, first the one that is added; None for other contrasts."""
        by_weight = {weight: arm for arm, weight in self.weights.items()}
        return (by_weight[1], by_weight[-1]) if set(by_weight) == {1, -1} and len(self.weights) == 2 else None


def check_contrast(name: str, weights: Weights, arms: Iterable[str]) -> None:
    """Refuses what is no contrast of these arms.

    Raises:
        ValueError: an arm that there is not, or weights that are all zero or do not sum to zero.
    """
    known = list(arms)
    unknown = [arm for arm in weights if arm not in known]
    if unknown:
        raise ValueError(f"{name}: no arm is called {unknown[0]!r}; the arms are: {', '.join(known)}")
    if not any(weights.values()) or not np.isfinite(list(weights.values())).all():
        raise ValueError(
            f"{name}: expected a weight for at least two arms, for example {{{known[-1]}: 1, {known[0]}: -1}}"
        )
    if abs(sum(weights.values())) > 1e-9:
        raise ValueError(f"{name}: the weights sum to {sum(weights.values()):g}, not to 0")


def contrast_tests(
    contrasts: Mapping[str, Weights], scores: Mapping[str, Scores], *, margin: float = MARGIN
) -> list[ContrastTest]:
    """Every contrast of which all arms have scores at a common seed, tested as one family (Holm). `scores` are
    each arm's, in points, by seed; `margin` is in points."""
    tested = [
        ContrastTest(
            name=name,
            weights=weights,
            margin=margin,
            over_seeds=of_differences(values),
            equivalence_p=equivalence(values, margin),
        )
        for name, weights in contrasts.items()
        if len(values := values_by_seed(weights, scores))
    ]
    adjusted = holm({each.name: p for each in tested if (p := each.over_seeds.p_value) is not None})
    return [replace(each, holm=adjusted.get(each.name)) for each in tested]


def values_by_seed(weights: Weights, scores: Mapping[str, Scores]) -> np.ndarray:
    """A contrast's value at each seed that all of its arms have, in the order of the seeds; float64 [seeds]."""
    arms = [arm for arm, weight in weights.items() if weight]
    shared = set.intersection(*(set(scores.get(arm, {})) for arm in arms)) - {None}
    return np.array([sum(weights[arm] * scores[arm][seed] for arm in arms) for seed in sorted(shared, key=str)])


def equivalence(differences: Sequence[float] | np.ndarray, margin: float) -> float | None:
    """The p-value of two one-sided t-tests that the mean difference lies within ±`margin`: the larger of both.
    None where nothing is known of the spread."""
    values = np.asarray(differences, dtype=np.float64)
    if not varies(values):
        return None
    above = scipy.stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(values, margin, alternative="less").pvalue
    return float(max(above, below))
