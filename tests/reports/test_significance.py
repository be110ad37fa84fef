"""Tests of differences: against scipy, a planted effect is found, no effect is found at its rate."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dalr.errors import InputError
from dalr.reports.build import Options, build
from dalr.reports.paired import mean_over_tasks, permuted_accuracy, permuted_spearman
from dalr.reports.significance import over_seeds
from dalr.reports.tables.scores import AVERAGE
from dalr.results import STS, TRANSFER, TaskDetails, TaskRecord, write_details
from tests.reports import make


def test_over_seeds_is_the_paired_t_test_of_the_seeds_that_both_have() -> None:
    ours, theirs = {1: 70.1, 2: 71.3, 3: 70.8, 4: 99.0}, {1: 69.0, 2: 69.9, 3: 70.1, 5: 0.0}
    found = over_seeds(ours, theirs)
    expected = stats.ttest_rel([70.1, 71.3, 70.8], [69.0, 69.9, 70.1]).pvalue
    assert (found.seeds, found.paired, found.p_value) == (3, True, pytest.approx(expected))


def test_a_model_without_a_seed_stands_against_every_seed() -> None:
    trained = {1: 70.1, 2: 71.3, 3: 70.8}
    expected = stats.ttest_1samp([70.1, 71.3, 70.8], 69.5).pvalue
    for found in (over_seeds(trained, {None: 69.5}), over_seeds({None: 69.5}, trained)):
        assert (found.seeds, found.p_value) == (3, pytest.approx(expected))


def test_seeds_that_are_not_shared_are_compared_by_welch() -> None:
    ours, theirs = {1: 70.1, 2: 71.3, 3: 70.8}, {1001: 69.0, 1002: 69.9}
    found = over_seeds(ours, theirs)
    expected = stats.ttest_ind(list(ours.values()), list(theirs.values()), equal_var=False).pvalue
    assert (found.seeds, found.paired, found.p_value) == (2, False, pytest.approx(expected))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({1: 70.0}, {1: 60.0}),
        ({1: 70.0, 2: 71.0}, {3: 60.0}),
        ({1: 70.0, 2: 70.0}, {3: 60.0, 4: 60.0}),
        ({1: 70.0, 2: 71.0}, {1: 69.0, 2: 70.0}),
        ({None: 1.0}, {None: 2.0}),
    ],
)
def test_over_seeds_says_nothing_where_nothing_can_be_said(ours: dict, theirs: dict) -> None:
    assert over_seeds(ours, theirs).p_value is None


def test_a_null_effect_over_seeds_is_flagged_at_its_rate() -> None:
    generator = np.random.default_rng(0)
    flagged = unpaired = 0
    for scores in generator.normal(70, 0.5, size=(1000, 2, 5)):
        ours, theirs = (dict(enumerate(row, 1)) for row in scores)
        others = {seed + 100: score for seed, score in theirs.items()}
        flagged += (over_seeds(ours, theirs).p_value or 1.0) < 0.05
        unpaired += (over_seeds(ours, others).p_value or 1.0) < 0.05
    assert 20 <= unpaired <= 65  # Welch's test of five seeds is a little careful
    assert stats.binomtest(flagged, 1000, 0.05).pvalue > 0.001


def _similarities(generator: np.random.Generator, gold: np.ndarray, noises: tuple[float, ...]) -> list[np.ndarray]:
    shared = generator.normal(size=len(gold))  # two encoders err on the same pairs
    return [gold + noise * (shared + generator.normal(size=len(gold))) for noise in noises]


def test_a_null_effect_over_examples_is_flagged_at_its_rate() -> None:
    generator = np.random.default_rng(1)
    sts = accuracy = 0
    for index in range(1000):
        gold = generator.uniform(0, 5, 60)
        a, b = _similarities(generator, gold, (1.5, 1.5))
        sts += permuted_spearman([a], [b], gold, seed=index, count=199).p_value <= 0.05
        right = generator.random((2, 200)) < 0.8
        accuracy += permuted_accuracy([right[0]], [right[1]], seed=index, count=199).p_value <= 0.05
    assert stats.binomtest(sts, 1000, 0.05).pvalue > 0.001
    # Accuracies tie often, and a tie never counts against the null: at most the nominal rate.
    assert 10 <= accuracy <= 75


def test_a_planted_effect_over_examples_is_found() -> None:
    generator = np.random.default_rng(2)
    gold = generator.uniform(0, 5, 1000)
    a, b = _similarities(generator, gold, (1.2, 1.6))
    found = permuted_spearman([a], [b], gold, seed=0)
    expected = 100 * (stats.spearmanr(a, gold).statistic - stats.spearmanr(b, gold).statistic)
    assert found.observed == pytest.approx(expected)
    assert found.p_value < 0.001
    right = generator.random((2, 1500)) < np.array([[0.86], [0.80]])
    accuracy = permuted_accuracy([right[0]], [right[1]], seed=0)
    assert accuracy.observed == pytest.approx(100 * (right[0].mean() - right[1].mean()))
    assert accuracy.p_value < 0.01


def test_permutations_agree_with_scipy_s() -> None:
    generator = np.random.default_rng(3)
    gold = np.round(generator.uniform(0, 5, 80))
    a, b = _similarities(generator, gold, (1.0, 1.5))
    ranks = [stats.rankdata(x) for x in (a, b)]

    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        truth = stats.rankdata(gold)
        return stats.pearsonr(x, truth[None], axis=axis).statistic - stats.pearsonr(y, truth[None], axis=axis).statistic

    expected = stats.permutation_test(
        ranks, difference, permutation_type="samples", vectorized=True, n_resamples=4000, rng=np.random.default_rng(0)
    )
    found = permuted_spearman([a], [b], gold, seed=0, count=4000)
    assert found.observed == pytest.approx(100 * expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.03)
    assert found.permuted.std() == pytest.approx(100 * expected.null_distribution.std(), rel=0.05)


def test_equal_models_never_differ_and_seeds_and_tasks_average() -> None:
    generator = np.random.default_rng(4)
    gold = generator.uniform(0, 5, 100)
    a, b = _similarities(generator, gold, (1.0, 2.0))
    assert permuted_spearman([a], [a], gold, seed=0).p_value == 1.0
    assert permuted_accuracy([gold > 2], [gold > 2], seed=0).p_value == 1.0
    both = permuted_spearman([a, b], [b, b], gold, seed=0)
    one = permuted_spearman([a], [b], gold, seed=0)
    assert both.observed == pytest.approx(one.observed / 2)
    assert mean_over_tasks([one, both]).observed == pytest.approx(0.75 * one.observed)


def _with_details(root: Path, *, better: float) -> Path:
    """`dalr` and `simcse`, three seeds each, every task with its similarities or correctness kept."""
    generator = np.random.default_rng(8)
    golds = {task: generator.uniform(0, 5, 300) for task in STS}
    for recipe, noise, right in (("dalr", 1.5 - better, 0.8 + better / 5), ("simcse", 1.5, 0.8)):
        for seed in (1, 2, 3):
            scores, kept = {}, {}
            for task in (*STS, *TRANSFER):
                if task in STS:
                    found = golds[task] + noise * generator.normal(size=300)
                    scores[task] = 100 * float(stats.spearmanr(found, golds[task]).statistic)
                    kept[task] = {"similarities": found, "gold": golds[task]}
                else:
                    correct = generator.random(400) < right
                    scores[task] = 100 * float(correct.mean())
                    kept[task] = {"correct": correct}
            result = make.result(scores=scores, recipe=recipe, seed=seed)
            cross = 0.1 if recipe == "dalr" else 0.0
            folder = make.run(
                root / f"{recipe}-{seed}",
                recipe=recipe,
                seed=seed,
                results={"all.json": result},
                objective__cross_modal=cross,
            )
            for task, arrays in kept.items():
                record = TaskRecord(task=task, protocol="test", score=result.tasks[task])
                write_details(folder / "results" / "all.json", TaskDetails(record, **arrays))
    return root


def test_a_real_lead_is_marked_in_the_table_and_called_certain(tmp_path: Path) -> None:
    report = build([_with_details(tmp_path / "runs", better=0.5)], Options(baseline="simcse", with_figures=False))
    sts = report.tables[0]
    rows = {row.label: row for row in sts.measured}
    assert rows["dalr"].cells[AVERAGE].marks == "†‡"
    assert {cell.marks for cell in rows["simcse"].cells.values()} == {""}
    assert "‡ over examples (paired permutation, 8 of 8)" in sts.key[0]
    assert report.verdicts[0].certainty == "yes"
    assert "over test examples it holds (p < 0.001)" in report.verdicts[0].reason


def test_a_lead_by_chance_is_not_called_certain(tmp_path: Path) -> None:
    report = build([_with_details(tmp_path / "runs", better=0.0)], Options(baseline="simcse", with_figures=False))
    assert {cell.marks for row in report.tables[0].measured for cell in row.cells.values()} == {""}
    assert [verdict.certainty for verdict in report.verdicts] == ["no", "no"]


def test_damaged_details_are_named_and_test_nothing(tmp_path: Path) -> None:
    root = _with_details(tmp_path / "runs", better=0.5)
    (root / "dalr-1" / "results" / "all.details" / "STS12.npz").write_bytes(b"no zip")
    report = build([root], Options(baseline="simcse", with_figures=False))
    assert "‡" not in next(row for row in report.tables[0].measured if row.label == "dalr").cells["STS12"].marks
    (problem,) = report.problems
    assert "not readable details of a result" in problem.message


def test_an_unknown_baseline_is_an_error_that_names_the_rows(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    with pytest.raises(InputError, match=r"--baseline bert: no measured row has that name \(rows: dalr, simcse\)"):
        build([tmp_path / "runs"], Options(baseline="bert", with_figures=False))
