"""Leaderboard, equal budgets, ablation; damaged sweeps."""

from pathlib import Path

import polars as pl
import pytest

from dalr.errors import InputError
from reports.ablation import ablation
from reports.build import Options, build
from reports.leaderboard import equal_budget, leaderboard
from reports.load import load
from reports.sweeps import read_sweep, trials
from tests.reports import make


def test_the_leaderboard_is_sorted_and_says_what_became_of_all_trials(tmp_path: Path) -> None:
    sweep = read_sweep(make.sweep(tmp_path / "s", count=40), "s")
    table = leaderboard(sweep, trials(sweep), top=5)
    values = [row.cells["value"].value for row in table.measured]
    assert values == sorted(values, reverse=True)
    best = trials(sweep).filter(pl.col("state") == "complete")["value"].max()
    assert values[0] == pytest.approx(best)
    assert table.columns["optim.learning_rate"] == "learning_rate"
    assert table.notes[0] == "40 trials: 32 complete, 7 pruned, 1 failed; the best 5 complete ones are shown."
    assert "Failed 1 times: NaN loss at step 3" in table.notes


def test_equal_budgets_are_compared_and_unequal_ones_say_so(tmp_path: Path) -> None:
    both = read_sweep(make.sweep(tmp_path / "a", count=30, recipes=("dalr", "simcse")), "a")
    table = equal_budget([both])
    assert table is not None
    assert table.title == "Recipes at equal budget"
    assert [row.label for row in table.measured] == ["dalr", "simcse"]
    more = read_sweep(make.sweep(tmp_path / "b", count=60), "b")
    unequal = equal_budget([both, more])
    assert unequal is not None
    assert unequal.title == "Recipes at UNEQUAL budgets"
    assert unequal.key[0].startswith("UNEQUAL BUDGETS: trials, steps, seconds differ by more than 5 %")
    assert unequal.columns["expected"] == "Expected best of 30"
    assert equal_budget([more]) is None


def test_ablation_names_the_changed_setting_and_its_difference(tmp_path: Path) -> None:
    for seed in (1, 2):
        for name, cross, base in (("full", 0.1, 72.0), ("without", 0.0, 70.5)):
            made = make.result(base=base + seed)
            make.run(tmp_path / f"{name}-{seed}", seed=seed, results={"sts.json": made}, objective__cross_modal=cross)
    report = build([tmp_path], Options(baseline="dalr, cross_modal=0.1", with_figures=False))
    table = next(table for table in report.tables if table.name == "ablation-sts")
    reference, changed = table.measured
    assert reference.cells["STS12"].text == "73.50"
    assert changed.label == "objective.cross_modal: 0.1 → 0".removeprefix("objective.")
    assert changed.cells["STS12"].text == "-1.50"
    assert changed.cells["STS12"].deviation_text == "0.00"


def test_ablation_needs_a_run_to_differ_from(tmp_path: Path) -> None:
    make.result(model="a").write(tmp_path / "a.json")
    make.result(model="b").write(tmp_path / "b.json")
    report = build([tmp_path], Options(with_figures=False))
    assert ablation(report.tables[0], "a", report.loaded.sources.values()) is None
    with pytest.raises(InputError, match="no measured row is called 'c'; there are: a, b"):
        ablation(report.tables[0], "c", report.loaded.sources.values())


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("missing", "the sweep has no trials.parquet: no trial has ended yet"),
        ("cut", "trials.parquet: not a readable Parquet file"),
        ("column", "trials.parquet: no column value"),
        ("spec", "not a readable YAML file"),
    ],
)
def test_a_damaged_sweep_is_named_and_the_rest_is_reported(tmp_path: Path, damage: str, expected: str) -> None:
    make.result().write(tmp_path / "all" / "a.json")
    folder = make.sweep(tmp_path / "all" / "s", count=5)
    path = folder / "trials.parquet"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:50])
    elif damage == "column":
        pl.read_parquet(path).drop("value").write_parquet(path)
    else:
        (folder / "sweep.yaml").write_text("recipe: [")
    report = build([tmp_path / "all"], Options(with_figures=False))
    (problem,) = report.problems
    assert problem.path == "all/s"
    assert expected in problem.message
    assert [table.name for table in report.tables] == ["sts"]


def test_a_sweep_s_best_is_not_called_certain(tmp_path: Path) -> None:
    report = build([make.sweep(tmp_path / "s", count=20)], Options(with_figures=False))
    (verdict,) = report.verdicts
    best = report.tables[0].measured[0]
    assert verdict.certainty == "search"
    assert verdict.headline.startswith(f"{best.label} is best: {best.cells['value'].text}")
    assert "learning_rate" in verdict.headline
    assert "only fresh seeds and test data decide" in verdict.reason


def test_sweeps_whose_names_make_one_file_name_stay_apart(tmp_path: Path) -> None:
    for name in ("a-b", "a b"):
        make.sweep(tmp_path / "all" / name, count=5)
    names = [table.name for table in build([tmp_path / "all"], Options(with_figures=False)).tables]
    assert names == ["equal-budget", "leaderboard-all-a-b", "leaderboard-all-a-b--2"]


def test_runs_and_sweeps_are_found_in_one_tree(tmp_path: Path) -> None:
    make.two_models(tmp_path / "all" / "runs")
    make.sweep(tmp_path / "all" / "sweep")
    loaded = load([tmp_path / "all"])
    assert (len(loaded.runs), len(loaded.sweeps)) == (6, 1)
