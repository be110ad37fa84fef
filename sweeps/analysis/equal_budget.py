"""How the recipes of one sweep compare at equal cost."""

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from dalr.statistics.best_of_n import expected_best
from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.snapshot import SweepState


def equal_budget_rows(state: SweepState) -> list[dict[str, Any]]:
    """The expected best score of each recipe as a function of its budget: trials, and the mean steps and
    seconds of so many, up to the smallest budget that any recipe used. A trial that was pruned, or stopped by hand,
    counts with what it had reached, a failed one with the worst value seen, a skipped one not at all."""
    ended: Mapping[str, list[TrialRecord]] = {
        recipe: [t for t in state.trials if t.recipe == recipe and t.state not in ("running", "skipped")]
        for recipe in state.spec.recipe
    }
    common = min((len(trials) for trials in ended.values()), default=0)
    rows = []
    for recipe, trials in ended.items():
        values = [math.nan if trial.best_so_far is None else trial.best_so_far for trial in trials]
        curve = expected_best(values, highest=state.maximize)
        if not len(curve.mean):
            continue
        steps = fmean(sum(run.steps for run in trial.runs) for trial in trials)
        seconds = fmean(trial.seconds for trial in trials)
        rows += [
            {"recipe": recipe, "trials": k, "steps": k * steps, "seconds": k * seconds, "expected_best": best}
            for k, best in enumerate(curve.mean[:common].tolist(), start=1)
        ]
    return rows
