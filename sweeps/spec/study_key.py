"""What makes two specifications the same search, whatever budget, resources and places they have."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FREE_PARTS = ("budget", "stop", "resources", "storage", "keep_models", "report_to", "contrasts", "equivalence_margin")
"""What may change between two starts of the same sweep, beside the final reruns."""


ONLY_OF = (("sampler", "population", ("nsgaii", "nsgaiii")), ("scheduler", "p_threshold", ("wilcoxon",)))
"""Settings that decide nothing but for these; sweeps from before they existed keep their key."""


def key_of(dumped: Mapping[str, Any], *, places: bool) -> str:
    """12 hex digits of a dumped specification, see `SweepSpec.study_key`."""
    values = dict(dumped) if places else without_places(dumped)
    for part in FREE_PARTS:
        values.pop(part, None)
    for part, key, names in ONLY_OF:
        if values[part]["name"] not in names:
            values[part] = {other: value for other, value in values[part].items() if other != key}
    values["seeds"] = {key: values["seeds"][key] for key in ("per_trial", "race")}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def without_places(values: Mapping[str, Any]) -> dict[str, Any]:
    """A dumped specification without the absolute paths of its recipes and overrides."""

    def stripped(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: stripped(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [stripped(inner) for inner in value]
        return "" if isinstance(value, str) and Path(value).is_absolute() else value

    overrides = {key: value for key, value in values["overrides"].items() if stripped(value) != ""}
    return {**values, "recipe": stripped(values["recipe"]), "overrides": stripped(overrides)}


def differing_keys(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The top-level keys in which two dumped specifications differ."""
    return [key for key in dict.fromkeys([*first, *other]) if first.get(key) != other.get(key)]
