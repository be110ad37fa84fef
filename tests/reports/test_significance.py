"""Rows of a table against each other: marks, the answer at the top, and one answer for each pair of rows."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dalr.errors import InputError
from dalr.reports.build import build
from dalr.reports.options import Options
from dalr.reports.significance import RowTests
from dalr.reports.tables.grid import Row, summary
from dalr.reports.tables.scores import AVERAGE
from dalr.results import STS, TRANSFER, TaskDetails, TaskRecord, write_details
from tests.reports import make


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


def test_a_real_lead_is_marked_in_the_table_and_said_to_hold(tmp_path: Path) -> None:
    report = build([_with_details(tmp_path / "runs", better=0.5)], Options(baseline="simcse", with_figures=False))
    sts = report.tables[0]
    rows = {row.label: row for row in sts.measured}
    assert rows["dalr"].cells[AVERAGE].marks == "†‡"
    assert {cell.marks for cell in rows["simcse"].cells.values()} == {""}
    assert "‡ over examples (paired permutation; 8 of 8)" in sts.key[0]
    answer = report.answers[0]
    assert (answer.outcome, answer.badge) == ("holds", "Holds.")
    ours, theirs = (list(rows[label].cells[AVERAGE].by_seed.values()) for label in ("dalr", "simcse"))
    tested = stats.ttest_rel(ours, theirs)
    low, high = tested.confidence_interval()
    lead = np.mean(ours) - np.mean(theirs)
    assert answer.headline.endswith(f"{lead:.2f} points above simcse (95 % interval {low:+.2f} to {high:+.2f}).")
    assert answer.reason == (
        f"The difference holds at the 5 % level (n = 3 seeds, p = {tested.pvalue:.2g}); over test examples it holds "
        "(p < 0.001)."
    ), "the average is its own family: Holm leaves its p-value as it is"


def test_a_lead_by_chance_is_not_said_to_hold(tmp_path: Path) -> None:
    report = build([_with_details(tmp_path / "runs", better=0.0)], Options(baseline="simcse", with_figures=False))
    assert {cell.marks for row in report.tables[0].measured for cell in row.cells.values()} == {""}
    assert [answer.outcome for answer in report.answers] == ["not-shown", "not-shown"]
    assert all("does not hold at the 5 % level (n = 3 seeds, p = " in answer.reason for answer in report.answers)


def _rows(**by_seed: list[float]) -> list[Row]:
    return [
        Row(label=label, identity=f"#{label}", cells={AVERAGE: summary({s: (v, "f") for s, v in enumerate(values)})})
        for label, values in by_seed.items()
    ]


def test_a_pair_of_rows_has_one_answer_wherever_it_is_shown() -> None:
    """The table asks for it in a family of two, the answer at the top in a family of one, from the other side."""
    base, good, bad = _rows(base=[70.0, 70.3, 70.2], good=[71.0, 71.4, 71.1], bad=[69.9, 70.4, 70.0])
    tests = RowTests(lambda *_: None)
    first, _ = tests.compare([good, bad], base, [AVERAGE])
    (again,) = tests.compare([base], good, [AVERAGE])
    assert again == first.reversed
    assert first.seed_holm == pytest.approx(2 * (first.seed_p or 0))
    (fresh,) = RowTests(lambda *_: None).compare([base], good, [AVERAGE])
    assert fresh.seed_holm == fresh.seed_p


def test_the_marks_of_table_ablation_and_answer_agree(tmp_path: Path) -> None:
    """A lead at 0.03 over seeds: it holds alone, not among the three rows that are compared with the baseline."""
    scores = {
        "dalr": [71.0, 71.5, 71.9],
        "other": [69.0, 70.9, 70.0],
        "third": [68.0, 70.5, 70.1],
        "simcse": [70.0] * 3,
    }
    for name, values in scores.items():
        for seed, value in enumerate(values, 1):
            made = make.result(base=value + 0.1 * seed * (name == "simcse"), recipe="dalr", seed=seed)
            settings = {"dalr": 0.1, "other": 0.2, "third": 0.3, "simcse": 0.0}
            make.run(
                tmp_path / f"{name}-{seed}", seed=seed, results={"a.json": made}, objective__cross_modal=settings[name]
            )
    plain = build([tmp_path], Options(with_figures=False))
    label = next(row.label for row in plain.tables[0].measured if "=0.0" in row.label or row.label.endswith("=0"))
    report = build([tmp_path], Options(baseline=label, with_figures=False))
    tables = {table.name: table for table in report.tables}
    best = tables["sts"].measured[0]
    marks = {row.note: row.cells[AVERAGE].marks for row in tables["ablation-sts"].measured[1:]}
    assert marks[f"({best.label})"] == best.cells[AVERAGE].marks
    holds = report.answers[0].outcome == "holds"
    assert holds == ("†" in best.cells[AVERAGE].marks)


def test_one_run_each_is_not_tested(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs", seeds=(1,))
    (answer,) = build([tmp_path / "runs"], Options(with_figures=False)).answers
    assert (answer.outcome, answer.badge) == ("untested", "Not tested.")
    assert "cannot be tested over seeds (n = 1 seed); over test examples it was not tested" in answer.reason


def test_damaged_details_are_named_and_test_nothing(tmp_path: Path) -> None:
    root = _with_details(tmp_path / "runs", better=0.5)
    (root / "dalr-1" / "results" / "all.details" / "STS12.npz").write_bytes(b"no zip")
    report = build([root], Options(baseline="simcse", with_figures=False))
    assert "‡" not in next(row for row in report.tables[0].measured if row.label == "dalr").cells["STS12"].marks
    (problem,) = report.problems
    assert "not readable details of a result" in problem.message


def test_an_unknown_baseline_is_an_error_that_names_the_rows(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    with pytest.raises(InputError, match=r"baseline bert: no measured row has that name \(rows: dalr, simcse\)"):
        build([tmp_path / "runs"], Options(baseline="bert", with_figures=False))
