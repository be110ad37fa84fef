"""Holm's correction."""

import pytest

from dalr.statistics.correction import holm


def test_holm_is_the_step_down_adjustment() -> None:
    found = holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.9})
    assert found == pytest.approx({"a": 0.09, "b": 0.04, "c": 0.09, "d": 0.9})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({}) == {}
    assert holm({"a": 0.8, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    with pytest.raises(ValueError, match="not a p-value"):
        holm({"a": 1.2})
