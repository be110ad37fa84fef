"""Pearson's and Spearman's correlation, of two arrays and of many rows at once.

SciPy's own warn and answer NaN where an array is constant; here the correlation is then 0, as the
original evaluation toolkits score an encoder that gives every pair the same similarity.
"""

import numpy as np
import scipy


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation of two arrays [n]; 0 where one of them is constant, so that it is undefined."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(pearson_rows(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)))


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays [n], ties at their mean rank; 0 where one is constant."""
    return pearson(scipy.stats.rankdata(x), scipy.stats.rankdata(y))


def pearson_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis, float64 [...]; 0 where a row is constant."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    spread = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return np.clip(np.divide((x * y).sum(-1), spread, out=np.zeros_like(spread), where=spread > 0), -1.0, 1.0)


def spearman_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's correlation along the last axis, float64 [...]; 0 where a row is constant."""
    return pearson_rows(scipy.stats.rankdata(x, axis=-1), scipy.stats.rankdata(y, axis=-1))
