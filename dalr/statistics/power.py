"""How many seeds a difference needs."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from statistics import fmean, stdev

import scipy

MOST_SEEDS = 10_000


def seeds_needed(differences: Sequence[float], *, level: float, power: float = 0.8) -> int | None:
    """How many paired seeds a two-sided t-test at `level` needs to find this mean difference, at this
    spread, with probability `power`; None where the differences have no mean or no spread, or where more
    than `MOST_SEEDS` would be needed."""
    if len(differences) < 2 or fmean(differences) == 0 or stdev(differences) < 1e-9:
        return None
    effect = abs(fmean(differences)) / stdev(differences)

    def enough(n: int) -> bool:
        critical = scipy.stats.t.ppf(1 - level / 2, n - 1)
        return bool(scipy.stats.nct.sf(critical, n - 1, effect * math.sqrt(n)) >= power)

    # More seeds never have less power. By doubling, for SciPy's distribution fails far out in its tail.
    high = 2
    while high < MOST_SEEDS and not enough(high):
        high = min(2 * high, MOST_SEEDS)
    return bisect_left(range(high), True, lo=max(2, high // 2), key=enough) if enough(high) else None
