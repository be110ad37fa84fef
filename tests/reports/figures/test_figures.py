"""The data behind the figures, against values worked out by hand or by scipy."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import vl_convert
import yaml
from scipy import stats

from dalr.reports.build import build
from dalr.reports.figures.collect import FigureSelection
from dalr.reports.figures.curves import (
    best_trials_metrics,
    learning_curves,
    read_metrics,
    term_contributions,
    term_factors,
)
from dalr.reports.figures.draw import curves
from dalr.reports.figures.models import alignment_uniformity, similarity_by_gold, task_correlation
from dalr.reports.figures.search import MOST_LINES, axis_ends, parallel_coordinates, pareto_front, slices
from dalr.reports.figures.sweeps import sweep_figures
from dalr.reports.load.discover import Problem
from dalr.reports.load.frame import load
from dalr.reports.load.importance import importance
from dalr.reports.load.sweeps import read_sweep, trials
from dalr.reports.options import Options
from dalr.reports.tables.labels import labels
from dalr.results import STS
from tests.reports import make


def _metrics(tmp_path: Path, seeds: tuple[int, ...], lines: int = 20) -> pl.DataFrame:
    frames = []
    for seed in seeds:
        path = tmp_path / f"{seed}.jsonl"
        rows = [
            {"step": step, "loss": 2.0 * step + seed, "term/rank": 10.0, "seconds": 1.0} for step in range(1, lines + 1)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 9')
        frames.append(read_metrics(path, label="a", seed=seed, factors={"rank": 0.2})[0])
    return pl.concat(frames)


def test_learning_curves_are_means_over_seeds_with_their_range(tmp_path: Path) -> None:
    curve = learning_curves(_metrics(tmp_path, (1, 3)), "loss")
    assert curve.row(4, named=True) == {"label": "a", "step": 5, "mean": 12.0, "low": 11.0, "high": 13.0, "seeds": 2}


def test_lines_that_cannot_be_read_are_counted_but_for_a_last_one_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"ste\n[1]\n{"step": 2}\n{"st')
    assert read_metrics(path, label="a", seed=1, factors={})[1] == 2
    run = make.run(tmp_path / "runs" / "a", results={"a.json": make.result()})
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"half\n{"step": 105, "loss": 1.0}\n')
    (problem,) = build([tmp_path / "runs"], Options()).problems
    assert problem.path == "runs/a/metrics.jsonl"
    assert problem.message == "1 of its lines cannot be read; its curves are drawn without them"


def test_figures_show_the_best_and_those_compared_with() -> None:
    wanted = FigureSelection(best_first=["a", "b", "c", "d", "e"], always=["e"])
    assert wanted.first(3, {"a", "b", "c", "e"}) == ["a", "b", "e"]
    assert wanted.first(9, {"c", "a"}) == ["a", "c"]


def test_losses_of_other_sizes_share_a_logarithmic_scale() -> None:
    schema = {"label": ["a", "b"], "step": [1, 1], "mean": [50.0, 0.1], "low": [50.0, 0.1], "high": [50.0, 0.1]}
    data = pl.DataFrame({**schema, "seeds": [1, 1]})
    for frame, scale in ((data, {"type": "log"}), (data.head(1), {"zero": False})):
        assert curves(frame, value="loss", order=["a", "b"])["layer"][1]["encoding"]["y"]["scale"] == scale


def test_the_loss_of_text_batches_is_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "loss": 1.0 if step % 2 else 9.0, "paired": (step + 1) % 2} for step in range(1, 11)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics, _ = read_metrics(path, label="a", seed=1, factors={})
    assert learning_curves(metrics, "loss")["mean"].to_list() == [9.0] * 5
    assert learning_curves(metrics, "loss/text")["mean"].to_list() == [1.0] * 5


def test_long_curves_are_binned_and_keep_their_mean(tmp_path: Path) -> None:
    curve = learning_curves(_metrics(tmp_path, (0,), lines=1000), "loss")
    assert curve.height == 100
    assert curve["step"].max() == 1000
    assert curve["mean"].mean() == pytest.approx(2.0 * 500.5)


def test_term_contributions_are_weighted(tmp_path: Path) -> None:
    contributions = term_contributions(_metrics(tmp_path, (1, 2)))
    assert contributions["term"].unique().to_list() == ["rank"]
    assert contributions["value"].unique().to_list() == [2.0]


def test_term_factors_follow_the_objective() -> None:
    weights = {"grounding_image": 1.0, "cross_alignment": 2.0, "rank": 3.0, "local_global": 0.0}
    factors = term_factors({"objective": {"cross_modal": 0.1, "intra_modal": 0.2, "weights": weights}})
    assert factors == {
        "text": 1.0,
        "grounding_image": pytest.approx(0.1),
        "cross_alignment_image": pytest.approx(0.1),
        "cross_alignment_text": pytest.approx(0.1),
        "rank": pytest.approx(0.6),
        "local_global": 0.0,
    }


def test_trials_mean_over_seeds_and_the_worst_state_counts(tmp_path: Path) -> None:
    sweep = read_sweep(make.sweep(tmp_path / "s", count=30), "s")
    frame = trials(sweep)
    first = frame.filter(pl.col("trial") == 0)
    both = sweep.runs.filter(pl.col("trial") == 0)
    assert first["value"].item() == pytest.approx(both["value"].mean())
    assert first["deviation"].item() == pytest.approx(both["value"].std())
    assert first["steps"].item() == both["steps"].sum()
    failed = frame.filter(pl.col("trial") == 29).row(0, named=True)
    assert (failed["state"], failed["value"], failed["reason"]) == ("failed", None, "NaN loss at step 3")


def test_parallel_coordinates_use_the_logarithm_and_keep_the_best(tmp_path: Path) -> None:
    sweep = read_sweep(make.sweep(tmp_path / "s", count=1000), "s")
    frame = trials(sweep)
    data = parallel_coordinates(sweep, frame)
    assert data["trial"].n_unique() <= MOST_LINES + 1
    assert frame.sort("value", descending=True, nulls_last=True)["trial"][0] in data["trial"]
    rates = data.filter(pl.col("path") == "optim.learning_rate").with_columns(pl.col("text").cast(pl.Float64).log())
    assert abs(np.corrcoef(rates["text"], rates["position"])[0, 1]) == pytest.approx(1.0)
    assert data["position"].is_between(0, 1).all()
    ends = {(path, place): text for path, place, text in axis_ends(data).iter_rows()}
    assert ends["data.pair_every", 1.0] == "4"
    assert float(ends["optim.learning_rate", 0.0]) == pytest.approx(rates["text"].exp().min(), rel=0.01)
    assert data.filter("best")["value"].min() >= data.filter(~pl.col("best"))["value"].max()


@pytest.mark.parametrize("count", [50, 4000])
def test_slices_hold_every_trial_once(tmp_path: Path, count: int) -> None:
    sweep = read_sweep(make.sweep(tmp_path / "s", count=count), "s")
    frame = trials(sweep)
    data = slices(sweep, frame, "objective.intra_modal")
    assert data["count"].sum() == frame["value"].count()
    assert data.height <= 1500


def test_the_pareto_front_is_what_no_trial_beats_in_both(tmp_path: Path) -> None:
    sweep = read_sweep(make.sweep(tmp_path / "s", count=60), "s")
    data = pareto_front(sweep, trials(sweep))
    rows = data.rows(named=True)
    for row in rows:
        beaten = any(o["cost"] <= row["cost"] and o["value"] >= row["value"] and o != row for o in rows)
        assert row["front"] == (not beaten)


def test_two_metrics_make_a_front_of_their_own(tmp_path: Path) -> None:
    folder = make.sweep(tmp_path / "s", count=40)
    spec = yaml.safe_load((folder / "sweep.yaml").read_text())
    spec |= {"metric": ["STSBenchmark.dev", "STS12.dev"], "direction": ["maximize", "maximize"]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(spec))
    second = (pl.lit(100) - pl.col("value") + pl.col("trial") % 3).alias("STS12.dev")
    pl.read_parquet(folder / "trials.parquet").with_columns(second).write_parquet(folder / "trials.parquet")
    sweep = read_sweep(folder, "s")
    rows = pareto_front(sweep, trials(sweep)).rows(named=True)
    assert sum(row["front"] for row in rows) > 3
    for row in rows:
        beaten = any(o["cost"] >= row["cost"] and o["value"] >= row["value"] and o != row for o in rows)
        assert row["front"] == (not beaten)


def test_the_best_trials_curves_are_found_by_fingerprint(tmp_path: Path) -> None:
    folder = make.sweep(tmp_path / "s", count=10)
    sweep = read_sweep(folder, "s")
    best = trials(sweep).sort("value", descending=True, nulls_last=True)["trial"][0]
    for trial in range(9):
        run = make.run(folder / "runs" / f"trial-{trial:04d}-seed-1", seed=trial)
        notes = json.loads((run / "provenance.json").read_text()) | {"config_fingerprint": f"{trial:016x}"}
        (run / "provenance.json").write_text(json.dumps(notes))
    found = best_trials_metrics(sweep, trials(sweep), 1)
    assert found["label"].unique().to_list() == [f"trial {best}"]
    assert found.filter(pl.col("key") == "STSBenchmark.dev").height == 4


def test_importance_is_what_the_sweep_says(tmp_path: Path) -> None:
    folder = make.sweep(tmp_path / "s", recipes=("dalr", "simcse"))
    found = importance(read_sweep(folder, "s"))
    assert found.height == 8
    assert found.row(0) == ("dalr", "optim.learning_rate", 0.7, 0.55, 0.85, 50)
    problems: list[Problem] = []
    drawn = {one.name: one for one in sweep_figures(read_sweep(folder, "s"), problems)}
    assert {"importance-s-dalr", "importance-s-simcse"} <= set(drawn)
    assert "by the score after 50 steps" in drawn["importance-s-dalr"].caption
    (folder / "importance.parquet").write_bytes(b"PAR1")
    drawn = {one.name: one for one in sweep_figures(read_sweep(folder, "s"), problems)}
    assert not {name for name in drawn if name.startswith("importance")}
    assert ["importance.parquet: not a readable Parquet file" in problem.message for problem in problems] == [True]
    (folder / "importance.parquet").unlink()
    assert importance(read_sweep(folder, "s")).is_empty(), "the sweep has not ended"


def test_task_correlation_is_scipy_s_over_models(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    scores = generator.uniform(50, 80, size=(6, len(STS)))
    for index, row in enumerate(scores):
        values = dict(zip(STS, map(float, row), strict=True))
        make.result(model=f"m{index}", scores=values).write(tmp_path / f"{index}.json")
    data = task_correlation(load([tmp_path]).scores, STS)
    found = data.filter(pl.col("a") == "STS12", pl.col("b") == "STS14").row(0, named=True)
    assert found["correlation"] == pytest.approx(stats.spearmanr(scores[:, 0], scores[:, 2]).statistic)
    assert found["models"] == 6
    assert data.filter(pl.col("a") == pl.col("b"))["correlation"].to_list() == pytest.approx([1.0] * 7)


def test_alignment_and_uniformity_by_variant(tmp_path: Path) -> None:
    for seed, value in ((1, 0.2), (2, 0.4)):
        values = make.result(seed=seed).model_dump()
        values["alignment"] = {"simcse": {"value": value}, "dalr": {"value": None, "reason": "no pair above 4"}}
        values["uniformity"] = {"simcse": {"value": -2.0}, "dalr": {"value": -3.0}}
        (tmp_path / f"{seed}.json").write_text(json.dumps(values))
    loaded = load([tmp_path])
    data = alignment_uniformity(loaded.scores, labels(loaded.sources.values()))
    (row,) = data.rows(named=True)
    assert (row["label"], row["variant"]) == ("a-model", "simcse")
    assert (row["alignment"], row["uniformity"]) == (pytest.approx(0.3), -2.0)
    assert row["score"] == pytest.approx(73.0)


def test_similarities_by_gold_are_densities_of_every_pair() -> None:
    generator = np.random.default_rng(0)
    gold = generator.uniform(0, 5, 500)
    data = similarity_by_gold(gold / 5 + generator.normal(0, 0.05, 500), gold)
    assert data["gold"].n_unique() == 5
    assert data.group_by("gold").agg(pl.col("pairs").first())["pairs"].sum() == 500
    width = data["similarity"].unique().sort().diff().drop_nulls().mean()
    totals = data.group_by("gold").agg(pl.col("density").sum() * width)["density"]
    assert totals.to_list() == pytest.approx([1.0] * 5, abs=0.02)
    peaks = data.group_by("gold").agg(pl.col("similarity").sort_by("density").last()).sort("gold")["similarity"]
    assert peaks.is_sorted()


def test_a_specification_is_vega_lite_with_its_rows_and_the_same_every_time(tmp_path: Path) -> None:
    make.two_models(tmp_path / "all" / "runs")
    make.sweep(tmp_path / "all" / "s", count=30, recipes=("dalr", "simcse"))
    first, again = (build([tmp_path / "all"], Options()).figures for _ in range(2))
    assert first == again
    assert len(first) >= 9
    for figure in first:
        assert vl_convert.vegalite_to_vega(figure.spec)["marks"], figure.name
        text = json.dumps(figure.spec)
        assert '"values": [{' in text
        assert '"data": {"name"' not in text
        assert "config" not in figure.spec
