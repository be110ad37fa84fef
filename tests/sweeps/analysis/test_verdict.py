"""What a sweep claims about its winner, against hand-made scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from scipy import stats

from dalr.results import TaskDetails, TaskRecord, TaskScore, write_details
from dalr.sweeps.analysis.comparison import comparison_rows, expected_best
from dalr.sweeps.analysis.examples import examples_p, final_folder, flipped_signs
from dalr.sweeps.analysis.importance import compared, importances
from dalr.sweeps.analysis.verdict import contests, headline, paired_t, seeds_needed
from dalr.sweeps.search.finals import BASE, FinalRecord
from dalr.sweeps.search.records import RunRecord, TrialRecord
from dalr.sweeps.search.samplers import distribution
from dalr.sweeps.search.snapshot import SweepState
from tests.sweeps.make import spec


def run(value: float, seed: int = 1, **changes: object) -> RunRecord:
    return RunRecord(seed, f"f{value}{seed}", "complete", None, value, (value,), 9, 10.0, "a", **changes)  # type: ignore[arg-type]


def trial(number: int, value: float, *, recipe: str = "quickstart", **point: float) -> TrialRecord:
    return TrialRecord(number, recipe, point, f"p{number}", "complete", (run(value),))


def state(trials: list[TrialRecord] = (), finals: list[FinalRecord] = (), **changes: object) -> SweepState:  # type: ignore[assignment]
    return SweepState(Path("/nowhere"), spec(**changes), tuple(trials), tuple(finals), 1.0, 0.0)


def finals(ours: list[float], base: list[float]) -> list[FinalRecord]:
    rows = [(7, value, seed) for seed, value in enumerate(ours)] + [(BASE, v, s) for s, v in enumerate(base)]
    return [FinalRecord(i, "quickstart", candidate, {}, run(v, s)) for i, (candidate, v, s) in enumerate(rows)]


def test_a_clear_winner_is_called_better() -> None:
    (contest,) = contests(state(finals=finals([75.0, 75.4, 75.1], [70.0, 70.3, 70.2])))
    assert contest.difference == pytest.approx(5.0)
    assert contest.seed_p == pytest.approx(stats.ttest_rel([75.0, 75.4, 75.1], [70.0, 70.3, 70.2]).pvalue)
    assert contest.significant
    assert "is better than the base recipe: +5.00 points" in contest.sentence()


def test_a_lucky_winner_is_called_indistinguishable() -> None:
    (contest,) = contests(state(finals=finals([75.0, 70.1, 72.0], [70.0, 74.3, 71.2])))
    assert not contest.significant
    assert "not distinguishable" in contest.sentence()
    assert contest.seeds_needed is not None
    assert contest.seeds_needed > 3


def test_a_loser_is_called_worse() -> None:
    (contest,) = contests(state(finals=finals([70.0, 70.3, 70.2], [75.0, 75.4, 75.1])))
    assert not contest.significant
    assert "is worse than" in contest.sentence()


def test_one_seed_is_no_test() -> None:
    (contest,) = contests(state(finals=finals([75.0], [70.0])))
    assert contest.seed_p is None
    assert "too few seeds" in contest.sentence()


def test_seeds_needed_have_the_power_that_is_promised() -> None:
    differences = [0.5, 1.5, -0.5, 1.0]
    n = seeds_needed(differences)
    assert n is not None
    rng = np.random.default_rng(0)
    drawn = rng.normal(np.mean(differences), np.std(differences, ddof=1), (4000, n))
    power = float(np.mean(stats.ttest_1samp(drawn, 0.0, axis=1).pvalue < 0.05))
    assert 0.75 < power < 0.95
    assert paired_t([1.0, 1.0]) is None


def test_expected_best_is_the_mean_over_draws() -> None:
    values = [60.0, 71.0, 65.0, 68.0]
    drawn = np.random.default_rng(0).choice(values, (200_000, 3)).max(1).mean()
    curve = expected_best(values)
    assert curve[0] == pytest.approx(np.mean(values))
    assert curve[2] == pytest.approx(drawn, abs=0.03)
    assert expected_best(values, maximize=False)[2] == pytest.approx(-np.array(expected_best([-v for v in values]))[2])


def test_recipes_are_compared_up_to_the_smallest_budget_used() -> None:
    both = state(recipe=["quickstart", "simcse"], overrides={"evaluation.data": "/x", "train.steps": 9}).spec
    trials = [trial(i, 60.0 + i) for i in range(0, 8, 2)] + [
        trial(1, 70.0, recipe="simcse"),
        trial(3, 72.0, recipe="simcse"),
    ]
    rows = comparison_rows(SweepState(Path("/x"), both, tuple(trials), (), 1.0, 0.0))
    assert [(row["recipe"], row["trials"]) for row in rows] == [
        ("quickstart", 1), ("quickstart", 2), ("simcse", 1), ("simcse", 2),
    ]  # fmt: skip
    assert rows[3]["seconds"] == 20.0


def test_the_winners_of_two_recipes_are_tested_against_each_other() -> None:
    """By what the search saw: trial 3 won simcse's, whatever trial 5 has on the fresh seeds."""
    both = state(recipe=["quickstart", "simcse"], overrides={"evaluation.data": "/x", "train.steps": 9}).spec
    trials = [trial(7, 76.0), trial(3, 73.0, recipe="simcse"), trial(5, 72.0, recipe="simcse")]
    scores = {3: [71.0, 71.4, 71.0], 5: [75.9, 76.2, 75.8], BASE: [70.0, 70.5, 70.2]}
    simcse = [
        FinalRecord(i, "simcse", candidate, {}, run(value, seed))
        for candidate, values in scores.items()
        for i, (seed, value) in enumerate(enumerate(values))
    ]
    rows = (*finals([75.0, 75.4, 75.1], [74.0, 74.3, 74.2]), *simcse)
    found = contests(SweepState(Path("/x"), both, tuple(trials), rows, 1.0, 0.0))
    assert [(c.recipe, c.candidate, c.opponent) for c in found if c.between_recipes] == [
        ("quickstart", 7, "trial 3 of simcse")
    ]
    (between,) = (c for c in found if c.between_recipes)
    known = stats.ttest_rel([75.0, 75.4, 75.1], scores[3]).pvalue
    assert between.seed_p == between.adjusted_p == pytest.approx(known), "corrected among themselves"
    assert between.sentence().startswith("trial 7 of quickstart is better than trial 3 of simcse: +4.03 points")
    assert sum(not c.between_recipes for c in found) == 3


def test_the_path_that_decides_is_the_most_important() -> None:
    rng = np.random.default_rng(1)
    rates, weights = 10 ** rng.uniform(-5, -2, 40), rng.uniform(0.05, 1, 40)
    trials = [
        trial(i, 70 - 10 * abs(np.log10(r) + 3), **{"optim.learning_rate": float(r), "objective.intra_modal": float(w)})
        for i, (r, w) in enumerate(zip(rates, weights, strict=True))
    ]
    found = importances(spec(), trials)
    assert found[0].path == "optim.learning_rate"
    assert found[0].low <= found[0].share
    assert found[0].low > found[1].share
    assert sum(one.share for one in found) == pytest.approx(1.0)
    assert importances(spec(), trials[:5]) == []


def test_the_front_holds_what_nothing_beats() -> None:
    pareto = spec(metric=["STSBenchmark.dev", "seconds"], direction=["maximize", "minimize"])
    values = [(70.0, 10.0), (71.0, 20.0), (69.0, 20.0), (72.0, 30.0)]
    trials = [
        TrialRecord(i, "quickstart", {}, str(i), "complete", (RunRecord(1, str(i), "complete", None, v[0], v),))
        for i, v in enumerate(values)
    ]
    front = SweepState(Path("/x"), pareto, tuple(trials), (), 1.0, 0.0).front()
    assert sorted(one.number for one in front) == [0, 1, 3]


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
    found = importances(chosen, trials)
    assert found[0].path == "optim.learning_rate"
    assert {one.step for one in found} == {3}
    assert compared(chosen, trials)[1] == {trial.number: trial.scores[3] for trial in trials}
    assert importances(spec(), trials) == [], "without a scheduler only complete trials count"


def test_one_score_decides_and_the_others_do_not_blur_it() -> None:
    """Holm over nine columns would ask three seeds for p < 0.006 in the one that matters."""
    assert headline(["STSBenchmark.dev", "STS12.test", "sts_avg"], "STSBenchmark.dev") == "sts_avg"
    assert headline(["STSBenchmark.dev", "STSBenchmark.test"], "STSBenchmark.dev") == "STSBenchmark.test"
    assert headline(["STSBenchmark.dev"], "STSBenchmark.dev") == "STSBenchmark.dev"
    rows = finals([75.0, 75.4, 75.1], [74.0, 74.3, 74.2])
    others = [replace(row, candidate=9, run=replace(row.run, value=74.0 + row.run.seed)) for row in rows[:3]]
    first, second = contests(state(finals=[*rows, *others]))
    assert (first.primary, second.primary) == (True, True), "one for each candidate"
    assert first.adjusted_p == pytest.approx(2 * first.seed_p), "Holm over the candidates"


def test_the_number_of_seeds_that_would_tell_minds_the_correction() -> None:
    """Three seeds cannot be what would tell where three seeds have not told."""
    rows = finals([75.0, 75.9, 74.9], [74.0, 74.1, 74.2])
    (alone,) = contests(state(finals=rows))
    many = [replace(row, candidate=number, run=row.run) for number in range(20, 30) for row in rows[:3]]
    among = next(contest for contest in contests(state(finals=[*rows, *many])) if contest.candidate == 7)
    assert among.seeds_needed is not None
    assert alone.seeds_needed is not None
    assert among.seeds_needed > max(alone.seeds_needed, 3)
    assert f"about {among.seeds_needed} seeds would tell" in among.line()
    assert among.line().startswith("STSBenchmark.dev: not distinguishable, 75.27 against 74.10 (+1.17), p = ")


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


def test_flipped_signs_agree_with_scipy() -> None:
    """Exactly, for so few numbers that SciPy takes every sign; ours draws 9,999: 3 errors of that are 0.015."""
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.2, 0.8):
        x = rng.normal(shift, 1.0, 12)
        known = stats.permutation_test((x,), lambda y, axis: y.sum(axis), permutation_type="samples", vectorized=True)
        assert flipped_signs(x) == pytest.approx(known.pvalue, abs=0.015)
    assert flipped_signs(np.zeros(10)) == 1.0
    assert flipped_signs(np.full(20_000, 1e-5)) == 1e-4


def test_test_pairs_tell_models_apart_task_by_task(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    gold = {task: rng.uniform(0, 5, 300) for task in ("STS12", "STS13")}
    rows = finals([75.0, 75.4], [70.0, 70.3])
    for row in rows:
        noise = 0.5 if row.candidate != BASE else 2.5
        place = final_folder(tmp_path, row) / "results" / "test.json"
        place.parent.mkdir(parents=True)
        for task, values in gold.items():
            record = TaskRecord(task=task, protocol="test", score=TaskScore(score=50.0, n=300))
            write_details(place, TaskDetails(record, values + rng.normal(0, noise, 300), values))
    pairs = [(rows[0], rows[2]), (rows[1], rows[3])]
    assert examples_p(tmp_path, ("STS12", "STS13"), pairs) == 1e-4
    assert examples_p(tmp_path, ("STS12", "STS13"), [(rows[0], rows[0])]) == 1.0
    assert examples_p(tmp_path, ("STS14",), pairs) is None, "no similarities were stored"
