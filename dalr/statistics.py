"""Correlations and the statistics of scores, with numpy and scipy alone."""

import numpy as np
from scipy import stats


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation of two arrays [n]; 0 where one of them is constant, so that it is undefined."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays [n], ties at their mean rank; 0 where one is constant."""
    return pearson(stats.rankdata(x), stats.rankdata(y))
