"""How the recipes of one sweep compare at equal cost."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.snapshot import SweepState


def expected_best(values: Sequence[float], *, maximize: bool = True) -> list[float]:
    """The expected best of k trials drawn from these, k = 1 to n (Dodge et al. 2019, "Show Your Work",
    eq. 3: draws with replacement)."""
    n = len(values)
    ordered = np.sort(np.asarray(values) if maximize else -np.asarray(values))
    k = np.arange(1, n + 1)[:, None]
    i = np.arange(1, n + 1)[None, :]
    weights = (i / n) ** k - ((i - 1) / n) ** k
    best = weights @ ordered
    return (best if maximize else -best).tolist()


def comparison_rows(state: SweepState) -> list[dict[str, Any]]:
    """The expected best score of each recipe as a function of its budget: trials, and the mean steps and
    seconds of so many, up to the smallest budget that any recipe used. A stopped trial counts with
    what it had reached, a failed one with the worst value seen."""
    ended: Mapping[str, list[TrialRecord]] = {
        recipe: [t for t in state.trials if t.recipe == recipe and t.state != "running"] for recipe in state.spec.recipe
    }
    common = min((len(trials) for trials in ended.values()), default=0)
    rows = []
    for recipe, trials in ended.items():
        values = [trial.best_so_far for trial in trials]
        known = [value for value in values if value is not None]
        if not known:
            continue
        worst = min(known) if state.maximize else max(known)
        curve = expected_best([worst if v is None else v for v in values], maximize=state.maximize)
        steps = fmean(sum(run.steps for run in trial.runs) for trial in trials)
        seconds = fmean(trial.seconds for trial in trials)
        rows += [
            {"recipe": recipe, "trials": k, "steps": k * steps, "seconds": k * seconds, "expected_best": best}
            for k, best in enumerate(curve[:common], start=1)
        ]
    return rows
