"""Correlations, and how sure a score is: bootstrap intervals, paired tests, Holm's correction.

No torch. Every function draws from its own generator, so that it answers the same each
time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

from dalr.errors import InputError
from dalr.results import read_details, read_result

RESAMPLES = 1000
LEVEL = 0.95
AT_ONCE = 1 << 20
"""Numbers in one block of resamples."""


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval of a statistic, in its unit."""

    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Comparison:
    """Two models on the same examples: first minus second (a fraction), its interval, and the two-sided
    p-value of "they do not differ". `adjusted` is the p-value after Holm's correction over a family."""

    difference: float
    interval: Interval
    p_value: float
    n: int
    test: str
    adjusted: float | None = None


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation of two arrays [n]; 0 where one of them is constant, so that it is undefined."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(_pearson_rows(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)))


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays [n], ties at their mean rank; 0 where one is constant."""
    return pearson(stats.rankdata(x), stats.rankdata(y))


def _pearson_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    spread = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return np.clip(np.divide((x * y).sum(-1), spread, out=np.zeros_like(spread), where=spread > 0), -1.0, 1.0)


def _spearman_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _pearson_rows(stats.rankdata(x, axis=-1), stats.rankdata(y, axis=-1))


def spearman_interval(
    similarities: np.ndarray, gold: np.ndarray, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Interval of Spearman's correlation (a fraction) over pairs drawn with replacement; both [n]."""
    draws = _resampled(resamples, len(gold), seed, lambda rows: _spearman_rows(similarities[rows], gold[rows]))
    return _percentiles(draws, level)


def mean_interval(values: np.ndarray, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> Interval:
    """Interval of the mean of [n] values over examples drawn with replacement. Of 0 and 1 the
    resampled sum is binomial, which is drawn as such."""
    values = np.asarray(values, dtype=np.float64)
    if np.isin(values, (0.0, 1.0)).all():
        drawn = np.random.default_rng(seed).binomial(len(values), values.mean(), resamples)
        return _percentiles(drawn / len(values), level)
    return _percentiles(_resampled(resamples, len(values), seed, lambda rows: values[rows].mean(-1)), level)


def compare_similarities(
    first: np.ndarray, second: np.ndarray, gold: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Two models' similarities of the same pairs [n]: the difference of their Spearman correlations.

    A permutation test: if the models do not differ, a pair's two ranks may be swapped between them.
    Ranks, because the models' similarities have scales of their own. The interval is of the difference
    over pairs drawn with replacement.
    """
    _same_length(first, second, gold)
    a, b, truth = (stats.rankdata(array) for array in (first, second, gold))

    def difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        x, y = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
        return _pearson_rows(stats.rankdata(x, axis=-1), truth) - _pearson_rows(stats.rankdata(y, axis=-1), truth)

    tested = stats.permutation_test(
        (a, b),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, AT_ONCE // len(gold)),
        rng=np.random.default_rng(seed),
    )
    draws = _resampled(
        resamples,
        len(gold),
        seed,
        lambda rows: _spearman_rows(first[rows], gold[rows]) - _spearman_rows(second[rows], gold[rows]),
    )
    interval = _percentiles(draws, LEVEL)
    return Comparison(float(tested.statistic), interval, float(tested.pvalue), len(gold), "permutation of ranks")


def compare_correctness(
    first: np.ndarray, second: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Two models' correctness on the same examples, bool [n]: McNemar's exact test, the difference of
    their accuracies (a fraction), and its interval."""
    _same_length(first, second)
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    p_value = float(stats.binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0
    shares = np.array([won, lost, len(first) - won - lost]) / len(first)
    drawn = np.random.default_rng(seed).multinomial(len(first), shares, resamples)
    interval = _percentiles((drawn[:, 0] - drawn[:, 1]) / len(first), LEVEL)
    return Comparison((won - lost) / len(first), interval, p_value, len(first), "McNemar, exact")


def paired_permutation(first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> float:
    """Two-sided p-value that the mean of paired differences [n] is 0, by flipping their signs: all 2^n
    ways where there are at most 10,000, else as many drawn ones. For scores of the same seeds."""
    _same_length(first, second)
    result = stats.permutation_test(
        (np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64),),
        lambda x, axis=-1: x.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def compare_results(first: Path, second: Path) -> dict[str, Comparison]:
    """Two results' tasks that both have details of, in column order: permutation tests for STS,
    McNemar's for transfer, corrected over the tasks.

    Raises:
        InputError: they share no task, or a task was scored on different data.
    """
    found: dict[str, Comparison] = {}
    one, other = read_result(first), read_result(second)
    for task in [name for name in one.tasks if name in other.tasks]:
        a, b = read_details(first, task), read_details(second, task)
        if a is None or b is None:
            continue
        if a.record.data != b.record.data or a.record.score.split != b.record.score.split:
            raise InputError(f"{task}: {first} and {second} were scored on different data; they cannot be compared")
        if a.similarities is not None and b.similarities is not None and a.gold is not None:
            found[task] = compare_similarities(a.similarities, b.similarities, a.gold)
        elif a.correct is not None and b.correct is not None:
            found[task] = compare_correctness(a.correct, b.correct)
    if not found:
        raise InputError(f"{first} and {second} share no task whose details were kept; evaluate both with --out")
    adjusted = holm({task: comparison.p_value for task, comparison in found.items()})
    return {task: replace(comparison, adjusted=adjusted[task]) for task, comparison in found.items()}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment over a family of tests: name → adjusted p-value, at most 1."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if not 0.0 <= p_value <= 1.0:
            raise ValueError(f"{name}: {p_value} is not a p-value")
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_value))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def _resampled(resamples: int, n: int, seed: int, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The statistic of each resample of n rows, [resamples]; it gets rows int64 [block, n]."""
    generator = np.random.default_rng(seed)
    block = max(1, AT_ONCE // n)
    parts = [
        statistic(generator.integers(0, n, (min(block, resamples - start), n))) for start in range(0, resamples, block)
    ]
    return np.concatenate(parts)


def _percentiles(draws: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)


def _same_length(*arrays: np.ndarray) -> None:
    if len({len(array) for array in arrays}) != 1 or len(arrays[0]) < 2:
        sizes = ", ".join(str(len(array)) for array in arrays)
        raise ValueError(f"paired comparison needs the same two or more examples, got {sizes}")
