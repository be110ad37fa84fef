"""Correlations against SciPy."""

import numpy as np
import pytest
from scipy import stats

from dalr.statistics.correlation import pearson, spearman
from tests.dalr.statistics import correlated


def test_correlations_are_scipys() -> None:
    x, y = correlated(200, 1.0)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert spearman(x, -x) == -1.0
    assert spearman(np.full(5, 0.1), np.arange(5)) == pearson(np.arange(5), np.full(5, 0.1)) == 0.0
