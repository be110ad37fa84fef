"""Paired permutation tests over examples, for means over seeds and over tasks, in matrix products.

If two models do not differ, an example's outcomes may be swapped between them. One swap moves the
outcomes of all seeds of that example, and the statistic is the difference of the mean scores over
seeds, so that what is tested is the number that a table shows. For STS the outcomes are ranks, because
two models' similarities have scales of their own; they are not ranked anew after a swap, which makes
every moment of the swapped ranks linear in the swaps.

`scipy.stats.permutation_test` gives the same answer (a test compares them) but draws and sums example by
example: on STS14 (3,750 pairs, 5,000 permutations, 3 seeds) it takes 14 s where the matrix products take
0.04 s, and a report makes hundreds of such comparisons. It also has no way to average tasks that are
permuted independently of each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

PERMUTATIONS = 5000
BLOCK = 1 << 23  # numbers in one block of swaps: 32 MB in float32


@dataclass(frozen=True)
class Permuted:
    """A difference in points as observed, and as it comes out under each of R permutations, float64 [R].
    `exact` is the p-value where it is known without drawing."""

    observed: float
    permuted: np.ndarray
    exact: float | None = None

    @property
    def p_value(self) -> float:
        """Two-sided; the observed arrangement counts as one of the permutations."""
        if self.exact is not None:
            return self.exact
        # A permutation that ties with the observed one up to rounding counts as equally extreme.
        extreme = np.abs(self.permuted) >= abs(self.observed) * (1 - 1e-6) - 1e-12
        return float((1 + extreme.sum()) / (1 + len(self.permuted)))


def permuted_spearman(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], gold: np.ndarray, *, seed: int, count: int = PERMUTATIONS
) -> Permuted:
    """Difference of mean Spearman correlations x 100: similarities [n] of each model's seeds, paired in
    the order given, against `gold` [n]."""
    truth = scipy.stats.rankdata(gold)
    truth = (truth - truth.mean()) / truth.std() if np.ptp(truth) > 0 else np.zeros(len(truth))
    ranks = [(_centred(a), _centred(b)) for a, b in zip(first, second, strict=True)]
    observed = np.mean([_correlation(a, truth) - _correlation(b, truth) for a, b in ranks])
    n = len(gold)
    # Swapped ranks are (a+b)/2 ± (a-b)/2; their product with the truth, sum and sum of squares follow.
    columns = [column for a, b in ranks for column in ((a - b) * truth, a - b, a * a - b * b)]
    halves = _swapped(np.stack(columns, axis=1) / 2, seed, count)
    total = np.zeros(count)
    for index, (a, b) in enumerate(ranks):
        product, sums, squares = (halves[:, 3 * index + part] for part in range(3))
        base = ((a + b) @ truth / 2, (a + b).sum() / 2, (a * a + b * b).sum() / 2)
        total += _from_moments(base[0] + product, base[1] + sums, base[2] + squares, n)
        total -= _from_moments(base[0] - product, base[1] - sums, base[2] - squares, n)
    return Permuted(100 * float(observed), 100 * total / len(ranks))


def permuted_accuracy(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], *, seed: int, count: int = PERMUTATIONS
) -> Permuted:
    """Difference of mean accuracies in percent: correctness, bool [n], of each model's seeds. Of one seed
    each, the p-value is McNemar's, which counts all swaps instead of drawing some."""
    difference = np.mean(np.stack(first).astype(np.float64) - np.stack(second).astype(np.float64), axis=0)
    swapped = _swapped(difference[:, None], seed, count)[:, 0]
    exact = mcnemar(first[0], second[0]) if len(first) == 1 else None
    return Permuted(100 * float(difference.mean()), 100 * swapped / len(difference), exact)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p-value of McNemar's exact test of two models' correctness on the same examples, bool [n]:
    the binomial test of the examples that one of the two has right."""
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    return float(scipy.stats.binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def mean_over_tasks(tasks: Sequence[Permuted], weights: Sequence[float] | None = None) -> Permuted:
    """The difference of two averages over tasks, or over subsets, that are permuted independently of each
    other; `weights` of a weighted average."""
    observed = np.average([task.observed for task in tasks], weights=weights)
    return Permuted(float(observed), np.average([task.permuted for task in tasks], axis=0, weights=weights))


def _centred(values: np.ndarray) -> np.ndarray:
    ranks = scipy.stats.rankdata(values)
    return (ranks - ranks.mean()) / len(ranks)


def _correlation(values: np.ndarray, truth: np.ndarray) -> float:
    spread = values.std()
    return 0.0 if spread == 0 else float(values @ truth / (len(truth) * spread))


def _from_moments(product: np.ndarray, sums: np.ndarray, squares: np.ndarray, n: int) -> np.ndarray:
    """Pearson's correlation with a standardised truth, from sums over n examples."""
    variance = np.maximum(squares / n - (sums / n) ** 2, 0.0)
    return np.divide(product / n, np.sqrt(variance), out=np.zeros_like(product), where=variance > 1e-12)


def _swapped(columns: np.ndarray, seed: int, count: int) -> np.ndarray:
    """Sums of the columns [n, k] under `count` draws of n random signs, [count, k]."""
    columns = columns.astype(np.float32)
    return np.concatenate([signs @ columns for signs in _signs(len(columns), seed, count)]).astype(np.float64)


# Drawing costs more than multiplying, and all rows of a table are tested with the same swaps, column by
# column. One task's are kept: 60 to 200 MB.
@lru_cache(maxsize=1)
def _signs(n: int, seed: int, count: int) -> tuple[np.ndarray, ...]:
    """`count` draws of n signs in blocks of rows, each float32 [rows, n]."""
    generator = np.random.default_rng(seed)
    blocks = []
    for start in range(0, count, step := max(1, BLOCK // n)):
        rows = min(step, count - start)
        bits = np.unpackbits(np.frombuffer(generator.bytes(-(-rows * n // 8)), dtype=np.uint8), count=rows * n)
        blocks.append(bits.reshape(rows, n).astype(np.float32) * 2 - 1)
    return tuple(blocks)
