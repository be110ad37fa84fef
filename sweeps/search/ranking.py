"""Which trials are best, by one metric or by several."""

from collections.abc import Sequence
from dataclasses import replace

from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.spec.parts import Direction


def best_points(trials: Sequence[TrialRecord], *, maximize: bool) -> list[TrialRecord]:
    """The complete, feasible trials by their first metric, best first, one for each point: identical
    points count as one, its value the mean over all their seeds. Ties: the earlier trial."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if trial.state == "complete" and not trial.violation:
            groups.setdefault(trial.point_id, []).append(trial)
    merged = (
        group[0] if len(group) == 1 else replace(group[0], runs=tuple(run for trial in group for run in trial.runs))
        for group in groups.values()
    )
    ranked = [
        (-values[0] if maximize else values[0], point.number, point) for point in merged if (values := point.values)
    ]
    return [point for *_, point in sorted(ranked, key=lambda entry: entry[:2])]


def pareto_front(points: Sequence[TrialRecord], directions: Sequence[Direction]) -> list[TrialRecord]:
    """Those of `points` that no other one beats in all metrics, in their order."""
    signs = [1 if direction == "maximize" else -1 for direction in directions]
    signed = {point.number: [s * v for s, v in zip(signs, point.values, strict=True)] for point in points}
    front: list[int] = []
    # In this order none is beaten by a later one.
    for number in sorted(signed, key=lambda number: signed[number], reverse=True):
        mine = signed[number]
        if not any(signed[other] != mine and _as_good(signed[other], mine) for other in front):
            front.append(number)
    kept = set(front)
    return [point for point in points if point.number in kept]


def _as_good(first: Sequence[float], other: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(first, other, strict=True))
