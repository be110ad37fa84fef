"""Did our runs reproduce a published score?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from dalr.statistics.intervals import CONFIDENCE, ConfidenceInterval
from dalr.statistics.significance import EQUAL

MARGIN = 0.5
"""Points below a published score that still count as that score: the deviation over seeds that papers print."""


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Our mean over `seeds` minus a published score, in points, with its 95 % interval (t, the published score
    taken as exact; None below two different seeds). `outcome`: `reproduced` where the whole interval lies above
    −`MARGIN`; `short` where it lies below 0 and is not; else `unknown`: so many seeds cannot tell."""

    difference: float
    seeds: int
    interval: ConfidenceInterval | None
    outcome: Literal["reproduced", "short", "unknown"]


def reproduction(scores: Sequence[float], published: float) -> Reproduction:
    """Our scores, one for each seed, against a published one; all in points."""
    values = np.asarray(scores, dtype=np.float64)
    difference = float(values.mean() - published)
    if len(values) < 2 or float(np.ptp(values)) <= EQUAL:
        return Reproduction(difference=difference, seeds=len(values), interval=None, outcome="unknown")
    span = scipy.stats.ttest_1samp(values, published).confidence_interval(CONFIDENCE)
    interval = ConfidenceInterval(float(span.low) - published, float(span.high) - published, CONFIDENCE, "t")
    if interval.low >= -MARGIN:
        return Reproduction(difference=difference, seeds=len(values), interval=interval, outcome="reproduced")
    outcome: Literal["short", "unknown"] = "short" if interval.high < 0 else "unknown"
    return Reproduction(difference=difference, seeds=len(values), interval=interval, outcome=outcome)
