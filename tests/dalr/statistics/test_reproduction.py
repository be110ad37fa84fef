"""Our seeds against a published score."""

import numpy as np
import pytest
from scipy import stats

from dalr.statistics.reproduction import MARGIN, reproduction


@pytest.mark.parametrize(
    ("scores", "outcome"),
    [
        ([79.5, 79.4, 79.6], "reproduced"),
        ([79.2, 79.3, 79.25], "reproduced"),  # below, but surely by less than the margin
        ([80.9, 81.2, 81.0], "reproduced"),  # above
        ([77.0, 77.2, 77.1], "short"),
        ([78.0, 80.5, 79.0], "unknown"),
        ([79.5], "unknown"),
        ([79.5, 79.5, 79.5], "unknown"),  # one seed three times
    ],
)
def test_outcomes(scores: list[float], outcome: str) -> None:
    assert reproduction(scores, 79.5).outcome == outcome


def test_the_interval_is_that_of_the_t_distribution() -> None:
    scores = [78.0, 80.5, 79.0]
    found = reproduction(scores, 79.5)
    assert found.interval is not None
    half = stats.t.ppf(0.975, 2) * np.std(scores, ddof=1) / np.sqrt(3)
    assert found.difference == pytest.approx(np.mean(scores) - 79.5)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (found.difference - half, found.difference + half)
    )
    assert MARGIN == 0.5
