"""Tests over stored examples: the tasks behind a score, and two results against each other."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dalr.errors import InputError
from dalr.results import STS, TRANSFER, TaskDetails, TaskRecord, TaskScore, write_details
from dalr.statistics.examples import compare_results, permuted_task, tasks_of_score
from tests.dalr.statistics import correlated
from tests.reports import make


def details(task: str, *, data: str = "00", **arrays: np.ndarray) -> TaskDetails:
    n = len(next(iter(arrays.values())))
    record = TaskRecord(task=task, protocol="test", score=TaskScore(score=50.0, n=n), data={"file": data})
    return TaskDetails(record, **arrays)


def test_the_tasks_behind_a_score_of_a_final_run() -> None:
    assert tasks_of_score("sts_avg") == STS
    assert tasks_of_score("transfer_avg") == TRANSFER
    assert tasks_of_score("STSBenchmark.test") == ("STSBenchmark",)
    assert tasks_of_score("MR.test") == ("MR",)
    assert tasks_of_score("STSBenchmark.dev") == tasks_of_score("Mine.test") == ()


def test_details_that_do_not_fit_each_other_test_nothing() -> None:
    better, gold = correlated(100, 1.0)
    one = details("STS12", similarities=better, gold=gold)
    assert permuted_task("STS12", [one], [one]) is not None
    assert permuted_task("STS12", [], []) is None
    assert permuted_task("STS12", [one, one], [one]) is None, "details of one seed are missing"
    assert permuted_task("STS12", [one], [details("STS12", similarities=better, gold=gold + 1)]) is None
    assert permuted_task("STS12", [one], [details("STS12", similarities=better[:50], gold=gold[:50])]) is None
    assert permuted_task("STS12", [one], [details("STS12", correct=gold > 2)]) is None
    assert permuted_task("MR", [details("MR", correct=gold > 2)], [details("MR", correct=gold[:50] > 2)]) is None


def two_results(folder: Path, *, data: str = "00", shift: float = 1.0) -> tuple[Path, Path]:
    """Two models on STS12 and MR, with details: the second `shift` noisier, and with ten more mistakes."""
    better, gold = correlated(400, 1.0)
    worse = better + shift * np.random.default_rng(5).normal(size=400)
    correct = np.arange(300) < 250
    paths = []
    for name, similarities, right, files in (("a", better, correct, "00"), ("b", worse, np.roll(correct, 10), data)):
        path = folder / f"{name}.json"
        make.result(scores={"STS12": 50.0, "MR": 80.0}).write(path)
        write_details(path, details("STS12", data=files, similarities=similarities, gold=gold))
        write_details(path, details("MR", data=files, correct=right & (np.arange(300) != 100)))
        paths.append(path)
    return paths[0], paths[1]


def test_two_results_are_compared_task_by_task(tmp_path: Path) -> None:
    first, second = two_results(tmp_path)
    found = compare_results(first, second)
    assert list(found) == ["STS12", "MR"]
    assert found["STS12"].difference > 0.02
    assert found["STS12"].interval.low < found["STS12"].difference < found["STS12"].interval.high
    assert found["STS12"].p_value < 0.001
    assert found["STS12"].adjusted == 2 * found["STS12"].p_value, "Holm over the two tasks"
    assert (found["MR"].test, found["MR"].n, found["MR"].difference) == ("McNemar, exact", 300, pytest.approx(0.0))
    assert found["MR"].p_value == 1.0
    again = compare_results(second, first)
    assert again["STS12"].difference == pytest.approx(-found["STS12"].difference)
    assert again["STS12"].p_value == found["STS12"].p_value


def test_a_rescaled_model_does_not_differ(tmp_path: Path) -> None:
    better, gold = correlated(200, 1.0)
    for name, similarities in (("a", better), ("b", 100 * better**3)):
        make.result(scores={"STS12": 50.0}).write(tmp_path / f"{name}.json")
        write_details(tmp_path / f"{name}.json", details("STS12", similarities=similarities, gold=gold))
    (found,) = compare_results(tmp_path / "a.json", tmp_path / "b.json").values()
    assert (found.difference, found.p_value) == (pytest.approx(0.0, abs=1e-12), 1.0)


def test_results_on_other_data_or_without_details_are_refused(tmp_path: Path) -> None:
    first, second = two_results(tmp_path, data="11")
    with pytest.raises(InputError, match=r"STS12: .* were scored on different data; they cannot be compared"):
        compare_results(first, second)
    make.result(scores={"STS12": 50.0}).write(tmp_path / "c.json")
    with pytest.raises(InputError, match="share no task whose details were kept"):
        compare_results(first, tmp_path / "c.json")


def test_mcnemar_is_the_binomial_test_of_the_disagreements() -> None:
    first = np.array([1] * 70 + [1] * 12 + [0] * 3 + [0] * 15, dtype=bool)
    second = np.array([1] * 70 + [0] * 12 + [1] * 3 + [0] * 15, dtype=bool)
    found = permuted_task("MR", [details("MR", correct=first)], [details("MR", correct=second)])
    assert found is not None
    assert found.p_value == pytest.approx(stats.binomtest(12, 15, 0.5).pvalue)
    assert found.observed == pytest.approx(9.0)
    drawn = (1 + (np.abs(found.permuted) >= 9.0 - 1e-9).sum()) / (1 + len(found.permuted))
    assert drawn == pytest.approx(found.p_value, abs=0.01), "permutations come to the same"
