"""Leaderboard, equal budgets, ablation; damaged sweeps."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml
from scipy import stats

from dalr.errors import InputError
from dalr.reports.build import build
from dalr.reports.load.frame import load
from dalr.reports.load.sweeps import read_sweep, trials
from dalr.reports.options import Options
from dalr.reports.significance import RowTests
from dalr.reports.tables.ablation import ablation
from dalr.reports.tables.leaderboard import equal_budget, leaderboard
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
    assert "Failed (1): NaN loss at step 3" in table.notes


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


def test_an_ablation_is_tested_against_its_own_reference(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        for name, cross, base in (("full", 0.1, 72.0), ("without", 0.0, 70.5)):
            made = make.result(base=base + seed + (0.1 * seed if cross else 0.0))
            make.run(tmp_path / f"{name}-{seed}", seed=seed, results={"sts.json": made}, objective__cross_modal=cross)
        made = make.result(base=60.0 + seed)
        make.run(tmp_path / f"s-{seed}", recipe="simcse", seed=seed, results={"a.json": made}, train__batch_size=64)
    labels = ["dalr, cross_modal=0.1", "dalr, cross_modal=0"]
    tables = build([tmp_path], Options(baseline="simcse", ablate=labels, with_figures=False)).tables
    named = {table.name: table for table in tables}
    assert list(named) == ["sts", "ablation-sts-dalr--cross-modal-0-1", "ablation-sts-dalr--cross-modal-0"]
    table = named["ablation-sts-dalr--cross-modal-0-1"]
    assert table.key[0].startswith("Differs from dalr, cross_modal=0.1 at 5 %")
    assert {cell.marks for row in table.measured[1:] if "cross" in row.label for cell in row.cells.values()} == {"†"}
    assert table.measured[1].note == "(dalr, cross_modal=0)"


def test_a_table_over_unequal_budgets_says_so_on_its_face(tmp_path: Path) -> None:
    for name, steps, base in (("long", 400, 75.0), ("usual", 150, 72.0), ("also", 150, 71.0), ("untrained", 1, 50.0)):
        results = {"a.json": make.result(base=base)}
        warmup = {"optim__warmup_steps": 1} if steps == 1 else {}
        notes = {"attempts": [{"start_step": 0, "end_step": steps}]}
        settings = {"train__steps": steps, "objective__cross_modal": base / 100, **warmup}
        folder = make.run(tmp_path / name, recipe=name, results=results, **settings)
        about = json.loads((folder / "provenance.json").read_text()) | notes
        (folder / "provenance.json").write_text(json.dumps(about))
    report = build([tmp_path], Options(with_figures=False))
    said = "UNEQUAL BUDGETS: trained for 150 steps of 32, but long: 400 steps of 32. Differences may be due to that."
    assert report.tables[0].key[0] == said
    words = "Budgets are UNEQUAL: long was trained for 400 steps of 32, usual for 150 steps of 32."
    assert report.answers[0].reason.endswith(words)


def test_equal_budgets_need_no_words(tmp_path: Path) -> None:
    assert build([make.two_models(tmp_path)], Options(with_figures=False)).tables[0].key == ()


def _finals(folder: Path, lead: float, *, seeds: int = 3) -> Path:
    rows = []
    for seed in range(seeds):
        for candidate, shift in ((7, lead), (None, 0.0)):
            score = 70 + shift + 0.1 * seed * (candidate is not None) + 0.3 * seed
            rows.append({"recipe": "dalr", "candidate": candidate, "seed": 1000 + seed, "state": "complete"})
            rows[-1] |= {"reason": None, "STSBenchmark.dev": score, "STS12.test": score - 20, "sts_avg": score - 10}
    failed = {"recipe": "dalr", "candidate": 7, "seed": 1009, "state": "failed", "reason": "NaN loss at step 3"}
    pl.DataFrame([*rows, failed], infer_schema_length=None).write_parquet(folder / "finals.parquet")
    return folder


def test_final_runs_tell_whether_the_search_has_paid(tmp_path: Path) -> None:
    folder = _finals(make.sweep(tmp_path / "s", count=20), lead=1.5)
    report = build([folder], Options(with_figures=False))
    table = next(table for table in report.tables if table.name == "finals-s")
    ours, base = table.measured
    assert (ours.label, base.label, list(table.columns)[-1]) == ("trial 7", "the base recipe", "sts_avg")
    assert (ours.cells["sts_avg"].text, ours.cells["sts_avg"].deviation_text) == ("61.90", "0.40")
    assert ours.cells["STS12.test"].marks == "†"
    assert table.notes[1] == "1 final run failed: NaN loss at step 3"
    search, fresh = report.answers
    best = report.tables[0].measured[0].label
    assert (search.outcome, search.headline.split(":")[0]) == ("search", f"{best} is best in the search")
    assert fresh.outcome == "holds"
    assert fresh.headline.startswith("trial 7 beats the base recipe: +1.60 points (95 % interval +1.35 to +1.85)")
    known = stats.ttest_1samp([1.5, 1.6, 1.7], 0.0).pvalue
    assert f"The difference holds at the 5 % level (n = 3 seeds, p = {known:.2g})" in fresh.reason


def test_the_winners_of_two_recipes_are_tested_against_each_other(tmp_path: Path) -> None:
    """Each recipe's is its best trial of the search that has final runs, whatever these show."""
    folder = make.sweep(tmp_path / "s", count=20, recipes=("dalr", "simcse"))
    values = pl.read_parquet(folder / "trials.parquet").filter(pl.col("state") == "complete").sort("value")
    (dalr, simcse, lucky) = (
        values.filter(pl.col("recipe") == recipe)["trial"][place]
        for recipe, place in (("dalr", -1), ("simcse", -1), ("simcse", -3))
    )
    rows = [
        {"recipe": recipe, "candidate": trial, "seed": seed, "state": "complete", "sts_avg": score + noise}
        for recipe, trial, score in (("dalr", dalr, 64.0), ("simcse", simcse, 61.0), ("simcse", lucky, 66.0))
        for seed, noise in ((1001, 0.0), (1002, 0.1 if recipe == "dalr" else 0.0), (1003, 0.3))
    ]
    pl.DataFrame(rows).write_parquet(folder / "finals.parquet")
    report = build([folder], Options(with_figures=False))
    table = next(table for table in report.tables if table.name == "finals-s")
    known = stats.ttest_rel([64.0, 64.1, 64.3], [61.0, 61.0, 61.3]).pvalue
    assert table.key[0] == (
        f"dalr, trial {dalr} is better than simcse, trial {simcse} on STS Avg.: +3.03 points (95 % interval +2.89 to "
        "+3.18). This holds at the 5 % level (n = 3 seeds, p < 0.001)."
    )
    assert known < 0.001


@pytest.mark.parametrize(
    ("lead", "seeds", "outcome", "said"),
    [
        (-0.1, 3, "not-shown", "does not hold at the 5 % level (n = 3 seeds, p = 1)"),
        (1.5, 1, "untested", "cannot be tested over seeds (n = 1 seed)"),
    ],
)
def test_final_runs_that_show_nothing_say_so(tmp_path: Path, lead: float, seeds: int, outcome: str, said: str) -> None:
    folder = _finals(make.sweep(tmp_path / "s", count=20), lead=lead, seeds=seeds)
    _, fresh = build([folder], Options(with_figures=False)).answers
    assert fresh.outcome == outcome
    assert said in fresh.reason


def test_damaged_final_runs_are_named_and_the_sweep_is_reported(tmp_path: Path) -> None:
    folder = make.sweep(tmp_path / "s", count=20)
    (folder / "finals.parquet").write_bytes(b"no parquet")
    report = build([folder], Options(with_figures=False))
    assert "finals.parquet: not a readable Parquet file" in report.problems[0].message
    assert [table.name for table in report.tables] == ["leaderboard-s"]


def test_a_search_for_two_metrics_shows_both(tmp_path: Path) -> None:
    folder = make.sweep(tmp_path / "s", count=20)
    spec = yaml.safe_load((folder / "sweep.yaml").read_text())
    spec |= {"metric": ["STSBenchmark.dev", "STS12.dev"], "direction": ["maximize", "maximize"]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(spec))
    frame = pl.read_parquet(folder / "trials.parquet").with_columns((pl.col("value") - 20).alias("STS12.dev"))
    frame.write_parquet(folder / "trials.parquet")
    sweep = read_sweep(folder, "s")
    first = leaderboard(sweep, trials(sweep)).measured[0]
    assert first.cells["STS12.dev"].value == pytest.approx((first.cells["value"].value or 0) - 20)


def test_ablation_needs_a_run_to_differ_from(tmp_path: Path) -> None:
    make.result(model="a").write(tmp_path / "a.json")
    make.result(model="b").write(tmp_path / "b.json")
    report = build([tmp_path], Options(with_figures=False))
    sources, untested = report.loaded.sources.values(), RowTests(lambda *_: None)
    assert ablation(report.tables[0], "a", sources, untested) is None
    with pytest.raises(InputError, match="no measured row is called 'c'; there are: a, b"):
        ablation(report.tables[0], "c", sources, untested)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("missing", "the sweep has no trials.parquet: no trial has ended yet"),
        ("cut", "trials.parquet: not a readable Parquet file"),
        ("column", "trials.parquet: no column value"),
        ("spec", "not valid YAML"),
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


def test_a_sweep_s_best_is_said_to_be_chosen(tmp_path: Path) -> None:
    report = build([make.sweep(tmp_path / "s", count=20)], Options(with_figures=False))
    (answer,) = report.answers
    best = report.tables[0].measured[0]
    assert (answer.outcome, answer.badge) == ("search", "Chosen by the search.")
    assert answer.headline.startswith(f"{best.label} is best in the search: {best.cells['value'].text}")
    assert "learning_rate" in answer.headline
    assert "only fresh seeds and test data decide" in answer.reason


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
