"""How much each searched path matters, on searches whose answer is known."""

import numpy as np
import optuna
import pytest

from dalr.sweeps.analysis.importance import RESAMPLE_SIZE, compared, importances
from dalr.sweeps.search.records import RunRecord, TrialRecord
from dalr.sweeps.search.samplers import distribution
from tests.sweeps.make import spec


def trial(number: int, value: float, **point: float) -> TrialRecord:
    run = RunRecord(1, f"f{number}", "complete", None, value, (value,), 9, 10.0, "a")
    return TrialRecord(number, "quickstart", point, f"p{number}", "complete", (run,))


def test_the_path_that_decides_is_the_most_important() -> None:
    rng = np.random.default_rng(1)
    rates, weights = 10 ** rng.uniform(-5, -2, 40), rng.uniform(0.05, 1, 40)
    trials = [
        trial(i, 70 - 10 * abs(np.log10(r) + 3), **{"optim.learning_rate": float(r), "objective.intra_modal": float(w)})
        for i, (r, w) in enumerate(zip(rates, weights, strict=True))
    ]
    ranked = importances(spec(), trials)
    assert ranked[0].path == "optim.learning_rate"
    assert ranked[0].low <= ranked[0].share
    assert ranked[0].low > ranked[1].share
    assert sum(each.share for each in ranked) == pytest.approx(1.0)
    assert importances(spec(), trials[:5]) == []


def test_importance_under_a_scheduler_is_that_of_a_score_all_trials_have() -> None:
    """The complete ones are too few and, having survived, alike."""
    rng = np.random.default_rng(2)
    trials = []
    for number in range(30):
        rate, weight = 10 ** rng.uniform(-5, -2), rng.uniform(0.05, 1)
        early = 70 - 10 * abs(np.log10(rate) + 3)
        point = {"optim.learning_rate": float(rate), "objective.intra_modal": float(weight)}
        state = "complete" if number < 5 else "pruned"
        runs = (RunRecord(1, str(number), state, None, early, (early + 5,) if number < 5 else ()),)
        scores = {3: early, **({9: early + 5} if number < 5 else {})}
        trials.append(TrialRecord(number, "quickstart", point, str(number), state, runs, scores=scores))
    chosen = spec(scheduler={"name": "asha", "grace_steps": 3}, overrides={"train.steps": 27, "train.eval_every": 3})
    ranked = importances(chosen, trials)
    assert ranked[0].path == "optim.learning_rate"
    assert {each.step for each in ranked} == {3}
    assert compared(chosen, trials)[1] == {trial.number: trial.scores[3] for trial in trials}
    assert importances(spec(), trials) == [], "without a scheduler only complete trials count"


def test_importance_is_not_misled_by_where_the_sampler_has_settled() -> None:
    """TPE soon draws the better half of a decisive path alone; the best tenth then says nothing of it."""
    space = {"data.pair_every": {"int": [1, 4]}, "optim.learning_rate": {"log": [1e-5, 1e-3]}}
    space |= {f"objective.{name}": {"uniform": [0.05, 1.0]} for name in ("cross_modal", "intra_modal", "softening")}
    chosen = spec(space=space)
    first = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        trials = []
        for number in range(24):
            asked = study.ask({path: distribution(kind) for path, kind in chosen.space.items()})
            pairs, rate = asked.params["data.pair_every"], asked.params["optim.learning_rate"]
            value = 76 - 2.5 * (pairs - 1) - 1.5 * abs(np.log10(rate) + 3.3) + rng.normal(0, 0.5)
            study.tell(asked, value)
            trials.append(trial(number, value, **asked.params))
        first.append(importances(chosen, trials)[0].path)
    assert first.count("data.pair_every") >= 4


def test_of_many_trials_the_interval_is_as_narrow_as_all_of_them_make_it() -> None:
    """A resample holds a part of them; without the scaling the interval would be that of the part."""
    rng = np.random.default_rng(3)

    def width(count: int) -> float:
        points = [(10 ** rng.uniform(-5, -2), rng.uniform(0.05, 1)) for _ in range(count)]
        trials = [
            trial(
                i,
                70 - 10 * abs(np.log10(rate) + 3) + 5 * weight,
                **{"optim.learning_rate": float(rate), "objective.intra_modal": float(weight)},
            )
            for i, (rate, weight) in enumerate(points)
        ]
        first = importances(spec(), trials)[0]
        assert first.path == "optim.learning_rate"
        assert first.low < first.share < first.high
        return first.high - first.low

    assert width(8 * RESAMPLE_SIZE) < 0.6 * width(RESAMPLE_SIZE)
