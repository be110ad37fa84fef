"""Holm's correction for many tests. (SciPy controls the false discovery rate only.)"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Holm's step-down adjustment over a family of tests: name → adjusted p-value, at most 1."""
    adjusted: dict[Name, float] = {}
    highest = 0.0
    for rank, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if not 0.0 <= p_value <= 1.0:
            raise ValueError(f"{name}: {p_value} is not a p-value")
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_value))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}
