"""The configs of a sweep's runs: of a search trial, of a final run, with a point and a seed."""

from collections.abc import Mapping
from typing import Any

from dalr.config.overrides import validated, with_overrides
from dalr.config.schema import RunConfig
from dalr.sweeps.spec.schema import SweepSpec


def search_config(spec: SweepSpec, base: RunConfig) -> RunConfig:
    """The config of a search trial before its point: judged by the spec's first metric; test tasks are for arms,
    which are compared and not chosen among."""
    judged = with_overrides(base, {"evaluation.metric": spec.metric[0]})
    return judged if spec.arms else with_overrides(judged, {"evaluation.tasks": ()})


def final_config(spec: SweepSpec, base: RunConfig) -> RunConfig:
    """The config of a final run before its point: its test tasks are scored when it ends."""
    return with_overrides(base, {"evaluation.metric": spec.metric[0]})


def run_config(base: Mapping[str, Any], point: Mapping[str, Any], seed: int | None) -> RunConfig:
    """The complete config of a run: `base` with the point's values and the seed.

    Raises:
        InputError: the values contradict each other.
    """
    overrides = dict(point)
    if seed is not None and "train.seed" not in point:
        overrides["train.seed"] = seed
    return with_overrides(validated(base), overrides)
