"""Which trials are best."""

from collections.abc import Sequence
from dataclasses import replace

from dalr.sweeps.search.records import TrialRecord


def best_points(trials: Sequence[TrialRecord], *, maximize: bool) -> list[TrialRecord]:
    """The complete, feasible trials by their first metric, best first, one for each point: identical
    points count as one, its value the mean over all their seeds. Ties: the earlier trial."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if trial.state == "complete" and not trial.violation and trial.values:
            groups.setdefault(trial.point_id, []).append(trial)
    merged = [replace(group[0], runs=tuple(run for t in group for run in t.runs)) for group in groups.values()]
    return sorted(merged, key=lambda t: (-t.values[0] if maximize else t.values[0], t.number))
