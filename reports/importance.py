"""How much each searched parameter matters, with an interval. The one place that knows Optuna."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from reports.sweeps import Sweep

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

RESAMPLES = 20
MOST_TRIALS = 500
FEWEST_TRIALS = 8


def importance(sweep: Sweep, trials: pl.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0) -> pl.DataFrame:
    """`path`, `importance`, `low`, `high`: the share of each parameter by PED-ANOVA (Watanabe et al.
    2023, as Optuna has it), and the middle 90 % of its values when trials are resampled.

    Complete trials only, at most the last `MOST_TRIALS`; empty below `FEWEST_TRIALS`, where the
    answer would be noise, or where nothing was searched.
    """
    import optuna

    done = trials.filter(pl.col("state") == "complete", pl.col("value").is_not_null()).tail(MOST_TRIALS)
    paths = [path for path in sweep.searched if done[path].null_count() == 0 and done[path].n_unique() > 1]
    empty = pl.DataFrame(schema={"path": pl.String, "importance": pl.Float64, "low": pl.Float64, "high": pl.Float64})
    if done.height < FEWEST_TRIALS or not paths:
        return empty
    spaces = {path: _distribution(done[path], logarithmic=path in sweep.logarithmic) for path in paths}
    frozen = [
        optuna.trial.create_trial(
            params={path: _choice(row[path], spaces[path]) for path in paths},
            distributions=spaces,
            value=row["value"],
        )
        for row in done.select(*paths, "value").iter_rows(named=True)
    ]
    generator = np.random.default_rng(seed)
    draws = [np.arange(len(frozen)), *(generator.integers(0, len(frozen), len(frozen)) for _ in range(resamples))]
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        shares = [_shares([frozen[i] for i in draw], sweep.highest, paths) for draw in draws]
    finally:
        optuna.logging.set_verbosity(level)
    whole, resampled = shares[0], np.array(shares[1:])
    low, high = np.quantile(resampled, [0.05, 0.95], axis=0)
    return pl.DataFrame({"path": paths, "importance": whole, "low": low, "high": high}).sort(
        "importance", descending=True
    )


def _shares(trials: "list[FrozenTrial]", highest: bool, paths: list[str]) -> np.ndarray:
    import optuna

    study = optuna.create_study(direction="maximize" if highest else "minimize")
    study.add_trials(trials)
    with warnings.catch_warnings():
        # A resample in which one parameter is constant is said to be so; its share is 0, as it should.
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(), params=paths
        )
    return np.array([found.get(path, 0.0) for path in paths])


def _distribution(values: pl.Series, *, logarithmic: bool) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if values.dtype.is_integer():
        return IntDistribution(int(values.min()), int(values.max()))  # type: ignore[arg-type]
    if values.dtype.is_float():
        low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
        return FloatDistribution(low, high, log=logarithmic and low > 0)
    return CategoricalDistribution(sorted({str(value) for value in values}))


def _choice(value: object, distribution: object) -> object:
    from optuna.distributions import CategoricalDistribution

    return str(value) if isinstance(distribution, CategoricalDistribution) else value
