"""What a sweep claims about its winner, against hand-made scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from dalr.results import STS, TRANSFER, TaskDetails, TaskRecord, TaskScore, write_details
from dalr.sweeps.analysis.equal_budget import equal_budget_rows
from dalr.sweeps.analysis.final_comparisons import final_comparisons, final_folder
from dalr.sweeps.analysis.outcome import outcome_of, write_finals
from dalr.sweeps.search.finals import BASE, FinalRecord, final_name
from dalr.sweeps.search.records import RunRecord, TrialRecord
from dalr.sweeps.search.snapshot import SweepState
from tests.reports import make as results
from tests.sweeps.make import spec


def run(value: float, seed: int = 1) -> RunRecord:
    return RunRecord(seed, f"f{value}{seed}", "complete", None, value, (value,), 9, 10.0, "a")


def trial(number: int, value: float, *, recipe: str = "quickstart", **point: float) -> TrialRecord:
    return TrialRecord(number, recipe, point, f"p{number}", "complete", (run(value),))


def state(finals: list[FinalRecord], trials: list[TrialRecord] = (), out: Path = Path("/nowhere")) -> SweepState:  # type: ignore[assignment]
    return SweepState(out, spec(), tuple(trials), tuple(finals), 1.0, 0.0)


def finals(ours: list[float], base: list[float]) -> list[FinalRecord]:
    rows = [(7, value, seed) for seed, value in enumerate(ours)] + [(BASE, v, s) for s, v in enumerate(base)]
    return [
        FinalRecord(i, "quickstart", candidate, {}, run(v, s), final_name("quickstart", candidate))
        for i, (candidate, v, s) in enumerate(rows)
    ]


def two_recipes() -> SweepState:
    """Trial 3 won the search of simcse, whatever trial 5 has on the fresh seeds."""
    both = spec(recipe=["quickstart", "simcse"], overrides={"evaluation.data": "/x", "train.steps": 9})
    trials = (trial(7, 76.0), trial(3, 73.0, recipe="simcse"), trial(5, 72.0, recipe="simcse"))
    scores = {3: [71.0, 71.4, 71.0], 5: [75.9, 76.2, 75.8], BASE: [70.0, 70.5, 70.2]}
    simcse = [
        FinalRecord(i, "simcse", candidate, {}, run(value, seed), final_name("simcse", candidate))
        for candidate, values in scores.items()
        for i, (seed, value) in enumerate(enumerate(values))
    ]
    rows = (*finals([75.0, 75.4, 75.1], [74.0, 74.3, 74.2]), *simcse)
    return SweepState(Path("/x"), both, trials, rows, 1.0, 0.0)


@pytest.mark.parametrize(
    ("ours", "base", "said"),
    [
        (
            [75.0, 75.4, 75.1],
            [70.0, 70.3, 70.2],
            "trial 7 is better than the base recipe on STSBenchmark.dev: +5.00 points",
        ),
        (
            [75.0, 70.1, 72.0],
            [70.0, 74.3, 71.2],
            "trial 7 is not distinguishable from the base recipe on STSBenchmark.dev: +0.53 points",
        ),
        (
            [70.0, 70.3, 70.2],
            [75.0, 75.4, 75.1],
            "trial 7 is worse than the base recipe on STSBenchmark.dev: -5.00 points",
        ),
        ([75.0], [70.0], "trial 7 against the base recipe on STSBenchmark.dev: +5.00 points"),
    ],
)
def test_final_runs_are_put_into_words(ours: list[float], base: list[float], said: str) -> None:
    (comparison,) = final_comparisons(state(finals(ours, base)))
    assert comparison.sentence().startswith(said)
    if len(ours) > 1:
        assert comparison.seed_p == pytest.approx(stats.ttest_rel(ours, base).pvalue)


@pytest.mark.parametrize("metric", ["STSBenchmark.dev", "MR.dev"])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_better_is_what_the_direction_says(metric: str, direction: str, tmp_path: Path) -> None:
    """In the metric, and in its task's test score, which decides where it is minimised: an average does not."""
    higher, lower = [75.0, 75.4, 75.1], [70.0, 70.3, 70.2]
    chosen = spec(metric=metric, direction=direction)
    ended = SweepState(tmp_path, chosen, (), tuple(finals(higher, lower)), 1.0, 0.0)
    (alone,) = final_comparisons(ended)
    relation = "better" if direction == "maximize" else "worse"
    assert alone.sentence().startswith(f"trial 7 is {relation} than the base recipe on {metric}: +5.0")
    assert (alone.reversed.leads, alone.leads) == (direction == "minimize", direction == "maximize")
    tasks = TRANSFER if metric == "MR.dev" else STS
    for record in ended.finals:
        made = results.result(base=record.run.value or 0.0, tasks=tasks)
        made.write(final_folder(tmp_path, record) / "results" / "test.json")
    comparisons = final_comparisons(ended)
    task = metric.rpartition(".")[0]
    average = "transfer_avg" if metric == "MR.dev" else "sts_avg"
    assert comparisons[0].score == (average if direction == "maximize" else f"{task}.test")
    relations = {each.score: each.relation for each in comparisons if each.holds_over_seeds}
    of_the_metric = {metric, f"{task}.test"}
    assert relations.keys() >= {*of_the_metric, average}
    assert {relations[score] for score in of_the_metric} == {f"{relation} than"}
    assert {said for score, said in relations.items() if score not in of_the_metric} == {"better than"}


def test_each_metric_of_several_has_its_own_direction(tmp_path: Path) -> None:
    chosen = spec(metric=["SICKRelatedness.dev", "STSBenchmark.dev", "seconds"],
                  direction=["maximize", "minimize", "minimize"])  # fmt: skip
    ended = SweepState(tmp_path, chosen, (), tuple(finals([75.0, 75.4, 75.1], [70.0, 70.3, 70.2])), 1.0, 0.0)
    for record in ended.finals:
        results.result(base=record.run.value or 0.0).write(final_folder(tmp_path, record) / "results" / "test.json")
    relations = {each.score: each.relation for each in final_comparisons(ended)}
    assert relations["STSBenchmark.test"] == "worse than"
    assert relations["SICKRelatedness.test"] == relations["sts_avg"] == "better than"


def test_runs_that_failed_or_are_still_running_do_not_count() -> None:
    rows = finals([75.0, 75.4, 75.1], [70.0, 70.3, 70.2])
    (whole,) = final_comparisons(state(rows))
    rows[0] = replace(rows[0], run=replace(rows[0].run, state="failed"))
    (comparison,) = final_comparisons(state(rows))
    assert (whole.seeds, comparison.seeds) == (3, 2)


def test_the_winners_of_two_recipes_are_tested_against_each_other() -> None:
    comparisons = final_comparisons(two_recipes())
    (between,) = (each for each in comparisons if each.family == "recipes")
    known = stats.ttest_rel([75.0, 75.4, 75.1], [71.0, 71.4, 71.0]).pvalue
    assert between.seed_p == between.seed_holm == pytest.approx(known), "corrected among themselves"
    assert between.sentence().startswith(
        "trial 7 of quickstart is better than trial 3 of simcse on STSBenchmark.dev: +4.03 points"
    )
    assert sum(each.family == "average" for each in comparisons) == 3


def test_finals_parquet_has_the_comparison_in_each_row_of_a_candidate(tmp_path: Path) -> None:
    shown = two_recipes()
    comparisons = final_comparisons(shown)
    write_finals(shown, comparisons, tmp_path / "finals.parquet")
    frame = pl.read_parquet(tmp_path / "finals.parquet")
    assert frame.filter(pl.col("winner"))["candidate"].unique().sort().to_list() == [3, 7]
    for comparison in comparisons:
        if comparison.family == "average":
            number = int(comparison.ours.split()[1])
            mine = frame.filter(pl.col("candidate") == number)
            assert mine.height == 3
            assert mine["seed_holm"].unique().to_list() == [comparison.seed_holm]
            assert mine["difference"].unique().to_list() == [comparison.difference]
            assert mine["decides"].unique().to_list() == [comparison.score]
            assert mine["low"][0] < comparison.difference < mine["high"][0]
    base = frame.filter(pl.col("candidate").is_null())
    assert base["seed_holm"].null_count() == base["winner"].null_count() == base.height == 6


def test_recipes_are_compared_up_to_the_smallest_budget_used() -> None:
    both = two_recipes().spec
    trials = [trial(i, 60.0 + i) for i in range(0, 8, 2)] + [
        trial(1, 70.0, recipe="simcse"),
        trial(3, 72.0, recipe="simcse"),
    ]
    rows = equal_budget_rows(SweepState(Path("/x"), both, tuple(trials), (), 1.0, 0.0))
    assert [(row["recipe"], row["trials"]) for row in rows] == [
        ("quickstart", 1), ("quickstart", 2), ("simcse", 1), ("simcse", 2),
    ]  # fmt: skip
    assert rows[3]["seconds"] == 20.0
    assert rows[2]["expected_best"] == pytest.approx(71.0)


def test_the_front_holds_what_nothing_beats() -> None:
    pareto = spec(metric=["STSBenchmark.dev", "seconds"], direction=["maximize", "minimize"])
    values = [(70.0, 10.0), (71.0, 20.0), (69.0, 20.0), (72.0, 30.0)]
    trials = [
        TrialRecord(i, "quickstart", {}, str(i), "complete", (RunRecord(1, str(i), "complete", None, v[0], v),))
        for i, v in enumerate(values)
    ]
    front = SweepState(Path("/x"), pareto, tuple(trials), (), 1.0, 0.0).front()
    assert sorted(each.number for each in front) == [0, 1, 3]


def with_results(out: Path, rows: list[FinalRecord], *, tasks: tuple[str, ...] = STS) -> list[FinalRecord]:
    """Writes each final run's result and details; a candidate's similarities are less noisy than the base's."""
    generator = np.random.default_rng(3)
    golds = {task: generator.uniform(0, 5, 300) for task in tasks}
    for row in rows:
        noise = 0.5 if row.candidate != BASE else 2.5
        place = final_folder(out, row) / "results" / "test.json"
        kept = {task: gold + generator.normal(0, noise, 300) for task, gold in golds.items()}
        scores = {task: 100 * stats.spearmanr(kept[task], gold).statistic for task, gold in golds.items()}
        results.result(scores=scores).write(place)
        for task, similarities in kept.items():
            record = TaskRecord(task=task, protocol="test", score=TaskScore(score=scores[task], n=300))
            write_details(place, TaskDetails(record, similarities, golds[task]))
    return rows


def test_test_pairs_tell_models_apart(tmp_path: Path) -> None:
    rows = with_results(tmp_path, finals([75.0, 75.4], [70.0, 70.3]))
    decisive, *others = final_comparisons(state(rows, out=tmp_path))
    assert (decisive.score, decisive.family) == ("sts_avg", "average")
    assert decisive.example_holm is not None
    assert decisive.example_holm < 0.001
    assert {each.family for each in others} == {"tasks"}
    (final_folder(tmp_path, rows[0]) / "results" / "test.details" / "STS12.npz").unlink()
    assert final_comparisons(state(rows, out=tmp_path))[0].example_p is None, "one seed's pairs are gone"


def test_without_all_tasks_the_metrics_own_test_score_decides(tmp_path: Path) -> None:
    rows = with_results(tmp_path, finals([75.0, 75.4], [70.0, 70.3]), tasks=("STSBenchmark", "STS12"))
    comparisons = final_comparisons(state(rows, out=tmp_path))
    assert [each.score for each in comparisons] == ["STSBenchmark.test", "STSBenchmark.dev", "STS12.test"]


def test_the_outcome_holds_the_comparisons() -> None:
    shown = state(finals([75.0, 75.4, 75.1], [70.0, 70.3, 70.2]), trials=[trial(7, 76.0)])
    assert outcome_of(shown).comparisons == tuple(final_comparisons(shown))
