"""Samplers and pruners on searches whose answer is known: the score has its peak at learning rate 1e-3."""

import itertools
import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from dalr.errors import InputError
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.records import Report, Task, TrialRecord
from dalr.sweeps.spec.parts import SchedulerSpec
from tests.sweeps.make import coordinator, spec

pytestmark = pytest.mark.medium

RATE = "optim.learning_rate"
LONG = {"train.steps": 27, "train.eval_every": 3}


def peak(point: dict[str, Any]) -> float:
    """70 at the peak, 10 less for each factor of ten beside it."""
    return 70 - 10 * abs(math.log10(point[RATE]) + 3)


def complete(search: Coordinator, key: str, task: Task, seed: int, *values: float) -> bool:
    last = task.runs[-1]["seed"] == seed
    done = Report(seed, f"{key}-{seed}", 9, 1.0, "complete", values[0], values[0], values, total=9, last=last)
    return search.on_report(key, done)


def search_all(search: Coordinator, *, second: bool = False) -> list[TrialRecord]:
    """Runs a search to its end, every seed worth the same; with `second` there is another metric, which has its peak
    at the same place."""
    search.changed = lambda: None
    for key in map(str, itertools.count()):
        task = search.next_task(key)
        if task is None:
            return search.studies["quickstart"].trials()
        score = peak(task.point)
        for run in task.runs:
            if complete(search, key, task, run["seed"], score, *([70 - score] if second else [])):
                break
    raise AssertionError("it never ends")


@pytest.mark.parametrize("sampler", ["tpe", "multivariate_tpe", "gp", "cmaes"])
def test_a_sampler_that_learns_draws_near_the_peak(tmp_path: Path, sampler: str) -> None:
    """At random a trial is worth 61.7 on the mean, with a deviation of 5.5."""
    chosen = spec(sampler={"name": sampler, "startup": 8, "seed": 1}, budget={"trials": 28})
    values = [trial.values[0] for trial in search_all(coordinator(chosen, tmp_path))]
    assert fmean(values[-8:]) > 66
    assert max(values) > 69


@pytest.mark.parametrize(
    ("sampler", "seed", "trials", "last", "least"),
    [("nsgaii", 4, 100, 40, 65.0), ("nsgaiii", 4, 100, 40, 65.0), ("tpe", 0, 40, 16, 64.5), ("gp", 0, 20, 8, 67.0)],
)
def test_several_metrics_are_searched_at_once(
    tmp_path: Path, sampler: str, seed: int, trials: int, last: int, least: float
) -> None:
    """The genetic ones learn slowly: 40 trials at random are worth 61.7 on the mean, with a deviation of 0.9."""
    chosen = spec(
        sampler={"name": sampler, "population": 20, "startup": 8, "seed": seed},
        metric=["STSBenchmark.dev", "seconds"],
        direction=["maximize", "minimize"],
        budget={"trials": trials},
    )
    done = search_all(coordinator(chosen, tmp_path), second=True)
    assert fmean(trial.values[0] for trial in done[-last:]) > least
    assert all(sum(trial.values) == pytest.approx(70) for trial in done)


def report_steps(search: Coordinator, key: str, task: Task, score: float) -> int:
    """A trial of 27 steps with the same score at each evaluation; the step at which it ends."""
    for step in range(3, 28, 3):
        if search.on_report(key, Report(1, key, step, 1.0, score=score, best=score, total=27)):
            return step
    search.on_report(key, Report(1, key, 27, 1.0, "complete", score, score, (score,), total=27, last=True))
    return 27


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_a_scheduler_spends_its_steps_on_the_good(tmp_path: Path, scheduler: str) -> None:
    chosen = spec(
        scheduler={"name": scheduler, "grace_steps": 3, "reduction": 3},
        overrides=LONG,
        sampler={"name": "random", "seed": 1},
        budget={"trials": 40},
    )
    search = coordinator(chosen, tmp_path)
    search.changed = lambda: None
    ends = []
    for key in map(str, range(40)):
        task = search.next_task(key)
        assert task is not None
        score = peak(task.point)
        ends.append((report_steps(search, key, task, score), score))
    assert {step for step, _ in ends} - {27} <= set(chosen.scheduler.rungs(27) or range(3, 27, 3))
    finished, stopped = ([s for step, s in ends if (step == 27) == whole] for whole in (True, False))
    assert 5 <= len(stopped) <= 35
    assert fmean(finished) > fmean(stopped) + 2
    assert max(finished) == max(score for _, score in ends), "the best is never stopped"


def test_hyperbands_brackets_are_optunas(tmp_path: Path) -> None:
    chosen = spec(scheduler={"name": "hyperband", "grace_steps": 3}, overrides=LONG)
    study = coordinator(chosen, tmp_path).studies["quickstart"].study
    search = coordinator(chosen, tmp_path)
    task = search.next_task("a")
    assert task is not None
    report_steps(search, "a", task, 60.0)  # Optuna makes its brackets when it is first asked
    pruner: Any = search.studies["quickstart"].study.pruner
    sizes = pruner._trial_allocation_budgets
    shares = [share for _, share in chosen.scheduler.brackets(27)]
    assert shares == pytest.approx([size / sum(sizes) for size in sizes])
    assert [first for first, _ in chosen.scheduler.brackets(27)] == [
        each._min_resource * 3**each._min_early_stopping_rate for each in pruner._pruners
    ]
    assert study.study_name == search.studies["quickstart"].study.study_name


def test_expected_steps_are_those_of_the_brackets() -> None:
    asha = SchedulerSpec(name="asha", grace_steps=3, reduction=3)
    hyperband = SchedulerSpec(name="hyperband", grace_steps=3, reduction=3)
    assert asha.expected_steps(27) == 3 + 6 / 3 + 18 / 9
    assert hyperband.rungs(27) == asha.rungs(27) == [3, 9]
    (first, second, third), steps = [share for _, share in hyperband.brackets(27)], hyperband.expected_steps(27)
    assert steps == pytest.approx(first * 7 + second * (9 + 18 / 3) + third * 27)
    assert SchedulerSpec().expected_steps(27) == SchedulerSpec(name="median").expected_steps(27) == 27


def test_wilcoxon_gives_no_more_seeds_to_a_point_that_is_worse_on_each(tmp_path: Path) -> None:
    """The seeds differ by more than the points do, so that means would not tell."""
    chosen = spec(
        scheduler={"name": "wilcoxon"}, seeds={"per_trial": 8}, budget={"trials": 4}, sampler={"name": "random"}
    )
    search = coordinator(chosen, tmp_path)
    search.changed = lambda: None
    noise = [-3.0, 9.0, -12.0, 4.0, 0.0, 6.0, 2.0, -7.0]
    for key, ahead in (("a", 0.0), ("b", -0.5), ("c", 0.5), ("d", 0.0)):
        task = search.next_task(key)
        assert task is not None
        for place, run in enumerate(task.runs):
            if complete(search, key, task, run["seed"], 60 + noise[place] + ahead * (1 + 0.1 * place)):
                break
    trials = search.studies["quickstart"].trials()
    assert [trial.state for trial in trials] == ["complete"] * 4
    # Four pairs of one sign have p = 1/16, the first below 0.1.
    assert [len(trial.runs) for trial in trials] == [8, 4, 8, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": {"name": "auto"}}, "AutoSampler is code that OptunaHub downloads"),
        ({"scheduler": {"name": "wilcoxon"}, "seeds": {"per_trial": 3}}, "set seeds.per_trial to at least 4"),
        ({"sampler": {"name": "nsgaii", "population": 1}}, "population"),
        ({"metric": ["STSBenchmark.dev", "seconds"], "scheduler": {"name": "hyperband"}}, "no order to stop by"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec(**changes)


def test_hyperband_needs_to_know_the_steps(tmp_path: Path) -> None:
    epochs = {"train.eval_every": 3, "train.steps": None, "train.epochs": 1}
    chosen = spec(scheduler={"name": "hyperband", "grace_steps": 3}, overrides=epochs)
    with pytest.raises(InputError, match=r"set train\.steps"):
        coordinator(chosen, tmp_path)


def test_what_is_new_does_not_change_the_key_of_a_sweep_begun_before() -> None:
    """A key that changed would begin every sweep anew."""
    assert spec().study_key() == "33f4f8c6384c"
    assert spec(scheduler={"name": "asha", "grace_steps": 3}).study_key() == "f83d2a0c274c"
    assert spec(sampler={"name": "cmaes", "seed": 3}).study_key() == "30ade1b9d4f3"
    nsga = spec(sampler={"name": "nsgaii"})
    assert nsga.study_key() != spec(sampler={"name": "nsgaii", "population": 9}).study_key()
