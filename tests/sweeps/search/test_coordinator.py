"""The sweep's decisions, without Ray: a loop in this process plays Tune and its workers."""

import json
import random
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from dalr.config.loading import load_recipe, read_config
from dalr.config.overrides import to_yaml, with_absolute_paths
from dalr.identity import identity_of
from dalr.sweeps.search.records import Report
from dalr.sweeps.search.snapshot import state_of
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium

LONG = {"train.steps": 27, "train.eval_every": 3}


def points(out: Path) -> list[tuple]:
    frame = pl.read_parquet(out / "trials.parquet").sort("trial", "seed")
    return frame.select("trial", "seed", "state", "value", "optim.learning_rate", "objective.intra_modal").rows()


def steps_done(out: Path) -> dict[str, list[int]]:
    """Every step that was done, in order, by run."""
    return {
        path.parent.name: [json.loads(line)[0] for line in path.read_text().splitlines()]
        for path in out.glob("runs/*/steps.jsonl")
    }


def test_search_runs_its_budget_and_writes_the_outcome(tmp_path: Path) -> None:
    chosen = spec(try_first=[{"optim.learning_rate": 1e-3}])
    fakes.work(coordinator(chosen, tmp_path))
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame["trial"].to_list() == list(range(6))
    assert set(frame["state"]) == {"complete"}
    assert frame["optim.learning_rate"][0] == 1e-3
    best = frame.sort("value", descending=True).row(0, named=True)
    config = read_config(tmp_path / "best.yaml")
    assert config.optim.learning_rate == best["optim.learning_rate"]
    assert config.evaluation.tasks == load_recipe("quickstart").evaluation.tasks != (), "test tasks come back"
    run = read_config(tmp_path / "runs" / f"trial-{best['trial']:04d}-seed-1" / "config.yaml")
    assert identity_of(run).fingerprint == best["config_fingerprint"]


@pytest.mark.parametrize("sampler", ["tpe", "multivariate_tpe", "gp", "cmaes", "nsgaii", "nsgaiii", "random", "qmc"])
def test_killed_sweep_ends_like_an_undisturbed_one(tmp_path: Path, sampler: str) -> None:
    chosen = spec(
        sampler={"name": sampler, "startup": 3, "population": 2, "seed": 4}, try_first=[{"optim.learning_rate": 2e-3}]
    )
    said = fakes.work(coordinator(chosen, tmp_path / "whole"))
    rng = random.Random(sampler)
    for _ in range(3):
        fakes.work(coordinator(chosen, tmp_path / "killed"), reports=rng.randrange(1, said // 3))
    fakes.work(coordinator(chosen, tmp_path / "killed"))
    assert points(tmp_path / "killed") == points(tmp_path / "whole")
    for steps in steps_done(tmp_path / "killed").values():
        assert set(steps) == set(range(1, 10))
        assert max(Counter(steps).values()) <= 4, "only steps after the last checkpoint are done again"


def test_finished_trials_are_never_run_again(tmp_path: Path) -> None:
    chosen = spec()
    fakes.work(coordinator(chosen, tmp_path))
    assert fakes.work(coordinator(chosen, tmp_path)) == 0
    assert all(steps == list(range(1, 10)) for steps in steps_done(tmp_path).values())


def test_a_cut_off_draw_is_drawn_as_it_would_have_been(tmp_path: Path) -> None:
    """The driver dies between two of a trial's values, and between a start point's entry and its use."""
    chosen = spec(sampler={"name": "tpe", "startup": 2}, try_first=[{"optim.learning_rate": 2e-3}])
    fakes.work(coordinator(chosen, tmp_path / "whole"))
    cut = coordinator(chosen, tmp_path / "cut")
    study = cut.studies["quickstart"].study
    study.enqueue_trial({"optim.learning_rate": 2e-3})
    fakes.work(coordinator(chosen, tmp_path / "cut"), reports=12)
    trial = coordinator(chosen, tmp_path / "cut").studies["quickstart"].study.ask()
    trial.suggest_float("optim.learning_rate", 1e-5, 1e-2, log=True)
    fakes.work(coordinator(chosen, tmp_path / "cut"))
    assert [row[:2] for row in points(tmp_path / "cut")] == [row[:2] for row in points(tmp_path / "whole")]
    assert len(points(tmp_path / "cut")) == 6


def test_failures_have_their_reasons_and_the_sweep_goes_on(tmp_path: Path) -> None:
    space = {"optim.weight_decay": {"choice": [0.0, 0.1, 0.2, 0.3, 0.7]}, "objective.intra_modal": {"choice": [0.2]}}
    fakes.work(coordinator(spec(space=space, sampler={"name": "grid"}, budget={}), tmp_path))
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert dict(frame.select("optim.weight_decay", "state").rows()) == {
        0.0: "complete", 0.1: "failed", 0.2: "failed", 0.3: "failed", 0.7: "failed",
    }  # fmt: skip
    reasons = dict(frame.select("optim.weight_decay", "reason").rows())
    assert reasons[0.1] == "RuntimeError: the disk is on fire"
    assert reasons[0.2] == "diverged: the loss is nan at step 2"
    assert reasons[0.3] == "out of memory: could not hold the batch"
    assert reasons[0.7] == "no usable score: STSBenchmark.dev is nan"
    assert "disk is on fire" in (tmp_path / "runs" / "trial-0001-seed-1" / "error.txt").read_text()


def test_asha_stops_the_worst_at_rungs_and_they_count_as_pruned(tmp_path: Path) -> None:
    chosen = spec(scheduler={"name": "asha", "grace_steps": 3, "reduction": 3}, budget={"trials": 12}, overrides=LONG)
    fakes.work(coordinator(chosen, tmp_path))
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    pruned, complete = frame.filter(pl.col("state") == "pruned"), frame.filter(pl.col("state") == "complete")
    assert pruned.height > complete.height > 0
    assert set(pruned["steps"]) <= {3, 9}
    assert set(complete["steps"]) == {27}
    assert all("asha" in reason for reason in pruned["reason"])
    states = Counter(t.state.name for t in coordinator(chosen, tmp_path).studies["quickstart"].study.trials)
    assert states == {"PRUNED": pruned.height, "COMPLETE": complete.height}


def test_asha_stops_by_the_same_rungs_after_a_restart(tmp_path: Path) -> None:
    chosen = spec(scheduler={"name": "asha", "grace_steps": 3, "reduction": 3}, budget={"trials": 8}, overrides=LONG)
    fakes.work(coordinator(chosen, tmp_path / "whole"))
    fakes.work(coordinator(chosen, tmp_path / "killed"), reports=18)
    fakes.work(coordinator(chosen, tmp_path / "killed"))
    assert points(tmp_path / "killed") == points(tmp_path / "whole")


def test_seeds_are_spent_on_contenders(tmp_path: Path) -> None:
    fakes.work(coordinator(spec(seeds={"per_trial": 3}, budget={"trials": 9}), tmp_path))
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert set(frame["state"]) == {"complete"}
    seeds = dict(frame.group_by("trial").agg(pl.len()).rows())
    means = frame.group_by("trial").agg(pl.col("value").mean()).sort("value", descending=True)["trial"].to_list()
    assert seeds[means[0]] == 3
    assert sum(seeds.values()) < 27
    assert set(frame["seed"]) == {1, 2, 3}


def test_without_a_race_every_point_gets_every_seed(tmp_path: Path) -> None:
    fakes.work(coordinator(spec(seeds={"per_trial": 2, "race": False}), tmp_path))
    assert pl.read_parquet(tmp_path / "trials.parquet").height == 12


def test_identical_points_get_new_seeds_and_settled_ones_are_not_run(tmp_path: Path) -> None:
    space = {"optim.weight_decay": {"choice": [0.0, 0.1]}, "objective.intra_modal": {"choice": [0.2]}}
    fakes.work(coordinator(spec(space=space, sampler={"name": "random"}, budget={"trials": 8}), tmp_path))
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame["trial"].to_list() == list(range(8))
    complete = frame.filter(pl.col("state") == "complete")
    assert complete["seed"].to_list() == list(range(1, complete.height + 1))
    failed = frame.filter(pl.col("state") == "failed")
    assert failed.height > 1
    assert failed["reason"][0].startswith("RuntimeError")
    assert all(reason.startswith(f"same point as trial {failed['trial'][0]}") for reason in failed["reason"][1:])
    assert failed["seconds"][1:].sum() == 0
    assert frame.filter(pl.col("config_fingerprint").is_not_null())["config_fingerprint"].is_unique().all()


def test_final_runs_use_fresh_seeds_for_the_best_and_the_base(tmp_path: Path) -> None:
    chosen = spec(seeds={"final": 2, "final_top": 2})
    fakes.work(coordinator(chosen, tmp_path), reports=33)
    ended = coordinator(chosen, tmp_path)
    fakes.work(ended)
    records = ended.finals["quickstart"].records()
    best = pl.read_parquet(tmp_path / "trials.parquet").sort("value", descending=True)["trial"].to_list()[:2]
    assert {(r.candidate, r.run.seed) for r in records} == {(c, s) for c in (-1, *best) for s in (1001, 1002)}
    assert all(record.run.state == "complete" for record in records)
    assert pl.read_parquet(tmp_path / "trials.parquet").height == 6


def test_a_raised_budget_continues_and_keeps_the_final_runs_of_the_base(tmp_path: Path) -> None:
    fakes.work(coordinator(spec(seeds={"final": 1}), tmp_path))
    more = coordinator(spec(seeds={"final": 1}, budget={"trials": 8}), tmp_path)
    fakes.work(more)
    assert pl.read_parquet(tmp_path / "trials.parquet")["trial"].to_list() == list(range(8))
    base = [record for record in more.finals["quickstart"].records() if record.candidate == -1]
    assert len(base) == 1


def test_final_runs_of_recipes_that_are_files_lie_side_by_side(tmp_path: Path) -> None:
    """Their folders are called by the files' names, wherever these lie, and two of one name are told apart."""
    files = [tmp_path / folder / "mine.yaml" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text(to_yaml(with_absolute_paths(load_recipe("quickstart"))))
    chosen = spec(recipe=[str(file) for file in files], budget={"trials": 1}, seeds={"final": 1})
    search = coordinator(chosen, tmp_path / "out")
    fakes.work(search)
    names = [record.name for runs in search.finals.values() for record in runs.records()]
    assert names == ["final-mine.yaml-0-base", "final-0000", "final-mine.yaml-1-base", "final-0001"]
    assert [record.name for record in state_of(search).finals] == names


def test_several_recipes_take_turns_with_equal_budgets(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(to_yaml(with_absolute_paths(load_recipe("quickstart"))))
    chosen = spec(recipe=["quickstart", str(tmp_path / "other.yaml")], budget={"trials": 3})
    fakes.work(coordinator(chosen, tmp_path / "out"))
    frame = pl.read_parquet(tmp_path / "out" / "trials.parquet")
    assert frame["trial"].to_list() == list(range(6))
    assert frame["recipe"].to_list()[:2] == ["quickstart", str(tmp_path / "other.yaml")]
    assert set(frame["recipe"].value_counts()["count"]) == {3}


def test_time_spent_before_a_kill_counts(tmp_path: Path) -> None:
    class Clock:
        time = 0.0

        def __call__(self) -> float:
            self.time += 60.0
            return self.time

    chosen = spec(budget={"hours": 3}, space={"optim.learning_rate": {"log": [1e-5, 1e-2]}})
    first = coordinator(chosen, tmp_path, now=Clock())
    fakes.work(first, reports=20)
    spent = first.hours_used()
    second = coordinator(chosen, tmp_path, now=Clock())
    assert second.hours_used() == pytest.approx(spent, abs=0.1)
    fakes.work(second)
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame["state"][-1] == "pruned"
    assert "3 hours" in frame["reason"][-1]
    assert second.hours_used() < 3.5


def test_gpu_hours_end_the_search(tmp_path: Path) -> None:
    chosen = spec(budget={"gpu_hours": 1.0}, resources={"gpus": 0.5, "workers": 2})
    search = coordinator(chosen, tmp_path)
    for key in "abc":
        task = search.next_task(key)
        if task is None:
            break
        seed, total = task.runs[0]["seed"], 9
        stop = search.on_report(key, Report(seed, key, 3, 1200.0, score=50.0, best=50.0, total=total))
        if not stop:
            last = Report(seed, key, total, 2400.0, "complete", 60.0, 60.0, (60.0,), total=total, last=True)
            search.on_report(key, last)
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame["state"].to_list() == ["complete", "pruned"]
    assert "1 GPU-hours" in frame["reason"][1]


def test_two_metrics_make_a_pareto_front(tmp_path: Path) -> None:
    chosen = spec(metric=["STSBenchmark.dev", "seconds"], direction=["maximize", "minimize"])
    ended = coordinator(chosen, tmp_path)
    fakes.work(ended)
    assert ended.studies["quickstart"].study.best_trials
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame.filter(pl.col("seconds").is_not_null()).height == 6


def test_a_point_that_breaks_a_constraint_never_wins(tmp_path: Path) -> None:
    search = coordinator(spec(constraints={"seconds": {"max": 100}}, budget={"trials": 2}), tmp_path)
    for key, seconds, value in (("a", 200.0, 90.0), ("b", 50.0, 60.0)):
        task = search.next_task(key)
        assert task is not None
        search.on_report(key, Report(1, key, 9, seconds, "complete", value, value, (value,), total=9, last=True))
    best = read_config(tmp_path / "best.yaml")
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert best.optim.learning_rate == frame["optim.learning_rate"][1]


def test_until_one_trial_trains_a_recipe_has_one_alone(tmp_path: Path) -> None:
    search = coordinator(spec(), tmp_path, concurrent=3)
    first = search.next_task("a")
    assert first is not None
    assert search.next_task("b") is None, "the first trial is still filling the feature store"
    search.on_report("a", Report(1, "x", 0, 1.0, total=9))
    assert search.next_task("b") is not None
    assert search.next_task("c") is not None
    assert search.next_task("d") is None, "no more than three at once"


def test_a_sampled_value_that_does_not_arrive_fails_the_trial(tmp_path: Path) -> None:
    def forgetful(config, folder, listener, task):  # type: ignore[no-untyped-def]
        from dalr.config.overrides import with_overrides

        return fakes.train(with_overrides(config, {"optim.learning_rate": 1e-3}), folder, listener, task)

    fakes.work(coordinator(spec(budget={"trials": 2}), tmp_path), trainer=forgetful)
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert set(frame["state"]) == {"failed"}
    assert "the sweep suggested" in frame["reason"][0]
