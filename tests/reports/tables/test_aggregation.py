"""STS12 to STS16 over all pairs and by subsets: the columns on request, the other order always in the notes."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dalr.errors import InputError
from dalr.reports.build import Options, Report, build
from dalr.reports.tables.scores import AVERAGE, WITH_SUBSETS
from dalr.results import STS, SubsetScore, TaskDetails, TaskRecord, TaskScore
from dalr.statistics.examples import permuted_task
from tests.reports import make


def models(root: Path) -> Path:
    """`dalr` is ahead over all pairs, `simcse` within subsets; the mean over subsets is 2 points below, or above."""
    for recipe, base, shift, cross in (("dalr", 72.0, -2.0, 0.1), ("simcse", 71.0, 2.0, 0.0)):
        for seed in (1, 2, 3):
            made = make.result(base=base + 0.1 * seed, recipe=recipe, seed=seed)
            tasks = dict(made.tasks)
            for task in WITH_SUBSETS:
                score = tasks[task].score
                changed = {"mean": (score + shift) / 100, "weighted_mean": (score + shift / 2) / 100}
                tasks[task] = tasks[task].model_copy(update=changed)
            folder = root / f"{recipe}-{seed}"
            result = made.model_copy(update={"tasks": tasks})
            make.run(folder, recipe=recipe, seed=seed, results={"a.json": result}, objective__cross_modal=cross)
    return root


def averages(report: Report) -> dict[str, float | None]:
    return {row.label: row.cells[AVERAGE].value for row in report.tables[0].measured}


@pytest.mark.parametrize(("aggregation", "shift"), [("all", 0.0), ("mean", 2.0), ("wmean", 1.0)])
def test_the_columns_show_what_was_asked_for(tmp_path: Path, aggregation: str, shift: float) -> None:
    report = build([models(tmp_path / "runs")], Options(aggregation=aggregation, with_figures=False))  # type: ignore[arg-type]
    rows = {row.label: row for row in report.tables[0].measured}
    assert rows["dalr"].cells["STS12"].value == pytest.approx(72.2 - shift)
    assert rows["dalr"].cells["STSBenchmark"].value == pytest.approx(77.2), "it has no subsets"
    average = np.mean([72.2 + place - shift * (task in WITH_SUBSETS) for place, task in enumerate(STS)])
    assert averages(report)["dalr"] == pytest.approx(average)
    said = "The published rows are over all pairs of a task and do not compare" in " ".join(report.tables[0].key)
    assert said == (aggregation != "all")


def test_an_order_that_depends_on_the_aggregation_is_always_in_the_notes(tmp_path: Path) -> None:
    report = build([models(tmp_path / "runs")], Options(with_figures=False))
    (mean, weighted) = (line for line in report.tables[0].key if line.startswith("THE ORDER DEPENDS"))
    assert mean == (
        "THE ORDER DEPENDS ON HOW STS12 TO STS16 ARE SCORED: the mean over a task's subsets instead of over all pairs "
        "of a task, simcse and dalr average 75.63 and 73.77 instead of 74.20 and 75.20."
    )
    assert "weighted by their pairs" in weighted
    turned = build([tmp_path / "runs"], Options(aggregation="mean", with_figures=False))
    (line,) = (line for line in turned.tables[0].key if line.startswith("THE ORDER DEPENDS"))
    assert "over all pairs of a task instead of the mean over a task's subsets" in line, "wmean agrees with mean"


def test_rows_in_the_same_order_need_no_note(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    report = build([tmp_path / "runs"], Options(with_figures=False))
    assert not any("ORDER" in line for line in report.tables[0].key)


def test_a_wrong_word_is_refused(tmp_path: Path) -> None:
    words = {"names": {}, "baseline": None, "ablate": [], "average": "unrounded", "formats": ["svg"]}
    with pytest.raises(InputError, match="sts_aggregation median: expected one of all, mean, wmean"):
        Options.checked(**words, aggregation="median", with_figures=False)  # type: ignore[arg-type]


def test_examples_test_the_score_that_is_shown() -> None:
    """A model with an offset between two subsets loses over all pairs, and nothing within them."""
    generator = np.random.default_rng(0)
    gold = np.concatenate([generator.uniform(0, 5, 200), generator.uniform(0, 5, 100)])
    plain = gold + generator.normal(size=300)
    shifted = plain + np.repeat([0.0, 4.0], [200, 100])
    subsets = {name: SubsetScore(n=n, spearman=0.5, pearson=0.5) for name, n in (("a", 200), ("b", 100))}
    score = TaskScore(score=50.0, n=300, subsets=subsets, mean=0.5, weighted_mean=0.5)
    record = TaskRecord(task="STS12", protocol="test", score=score)
    one, other = (TaskDetails(record, similarities, gold) for similarities in (plain, shifted))
    whole = permuted_task("STS12", [one], [other])
    within = permuted_task("STS12", [one], [other], by_subset=True)
    assert whole is not None
    assert within is not None
    assert whole.p_value < 0.001
    assert (within.observed, within.p_value) == (pytest.approx(0.0, abs=1e-9), 1.0)
    worse = TaskDetails(record, plain + np.where(np.arange(300) < 200, 3, 0) * generator.normal(size=300), gold)
    for weighted, weights in ((False, [1, 1]), (True, [200, 100])):
        found = permuted_task("STS12", [one], [worse], by_subset=True, weighted=weighted)
        assert found is not None
        parts = [
            stats.spearmanr(plain[part], gold[part]).statistic
            - stats.spearmanr(worse.similarities[part], gold[part]).statistic
            for part in (slice(0, 200), slice(200, 300))
        ]
        assert found.observed == pytest.approx(100 * np.average(parts, weights=weights))
        assert found.p_value < 0.001
