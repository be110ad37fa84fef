"""The same winner has the same p-value in `dalr sweep best`, in finals.parquet, in the report and in the docs."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy import stats

from dalr.reports.build import build
from dalr.reports.options import Options
from dalr.reports.write import write
from dalr.statistics.comparison import p_text
from dalr.sweeps.analysis.outcome import outcome_of, write_finals, write_trials
from dalr.sweeps.display import best_lines
from dalr.sweeps.search.finals import BASE
from dalr.sweeps.search.records import RunRecord, TrialRecord
from dalr.sweeps.search.snapshot import SweepState
from dalr.sweeps.search.spec_file import save_spec
from tests import ROOT
from tests.reports import make as results
from tests.sweeps.analysis.test_final_comparisons import final_folder, finals, trial
from tests.sweeps.example import EXAMPLE, example_state
from tests.sweeps.make import spec

pytestmark = pytest.mark.medium

DOCS = ROOT / "docs"
NUMBERS = r"(?P<difference>[+-]\d+\.\d+) points \(95 % interval (?P<low>[+-]\d+\.\d+) to (?P<high>[+-]\d+\.\d+)\)"
CLAIM = re.compile(rf"the base recipe[^:]{{0,40}}: {NUMBERS}.*?(?P<p>p (?:=|&lt;|<|\\<) [\d.]+\d)", re.DOTALL)
SHORT = {"STS-B": "STSBenchmark.test", "SICK-R": "SICKRelatedness.test", "STS-B dev, searched on": "STSBenchmark.dev"}


def said_of_the_winner(shown: SweepState, report: Path) -> dict[str, set[tuple[str, ...]]]:
    """Difference, ends of its interval, and p-value as `dalr sweep best`, a report's page, its summary and
    its table of final runs say them."""
    (table,) = (report / "tables").glob("finals-*.md")
    files = [report / "index.html", report / "report.md", table]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    texts["dalr sweep best"] = "\n".join(best_lines(outcome_of(shown))[:3])
    return {name: {match.groups() for match in CLAIM.finditer(text)} for name, text in texts.items()}


def numbers_of(row: dict[str, Any]) -> tuple[str, ...]:
    """The same from a row of finals.parquet."""
    return (*(f"{row[name]:+.2f}" for name in ("difference", "low", "high")), p_text(row["seed_holm"]))


def test_the_example_s_winner_has_one_p_value_everywhere() -> None:
    rows = pl.read_parquet(EXAMPLE / "finals.parquet").filter(pl.col("winner")).to_dicts()
    (kept,) = {numbers_of(row) for row in rows}
    shown = example_state()
    (decisive,) = (each for each in outcome_of(shown).comparisons if each.family == "average")
    assert (rows[0]["seed_holm"], rows[0]["example_holm"]) == pytest.approx((decisive.seed_holm, decisive.example_holm))
    said = said_of_the_winner(shown, EXAMPLE.parents[1])
    assert said == {place: {kept} for place in said}
    difference, low, high, p_value = kept
    page = (DOCS / "real-sweep.md").read_text(encoding="utf-8")
    assert f"**{difference}** | {low} to {high} | **{p_value.split()[-1]}** |" in page, "the row that decides"
    for name in ("real-sweep.md", "real-run.md"):
        page = (DOCS / name).read_text(encoding="utf-8")
        assert f"n = 3 seeds, 95 % interval {low} to {high}, {p_value}" in " ".join(page.split()), name


def test_the_example_s_tasks_have_the_p_values_of_the_docs() -> None:
    page = (DOCS / "real-sweep.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (STS\d\d|STS-B|SICK-R|STS-B dev, searched on) \|.*\| ([\d.]+) \|$", page, re.MULTILINE)
    tasks = [each for each in outcome_of(example_state()).comparisons if each.family == "tasks"]
    assert {SHORT.get(name, f"{name}.test"): p for name, p in rows} == {
        each.score: f"{each.seed_holm:.2g}" for each in tasks
    }


def small_sweep(out: Path) -> SweepState:
    """Two trials and three fresh seeds, scored on STS-B's test set only: its own test score decides, not the
    metric, whose difference is another."""
    rows = finals([75.0, 78.0, 76.1], [74.0, 73.2, 76.1])
    tests = {7: [65.0, 66.5, 64.0], BASE: [64.0, 64.8, 64.2]}
    for row in rows:
        score = tests[row.candidate][row.run.seed]
        made = results.result(scores={"STSBenchmark": score})
        made.write(final_folder(out, row) / "results" / "test.json")
    shown = SweepState(out, spec(), (trial(7, 76.0), trial(8, 75.0)), tuple(rows), 1.0, 0.0)
    points = {"optim.learning_rate": 1e-3, "objective.intra_modal": 0.2}
    shown = replace(shown, trials=tuple(replace(each, point=points) for each in shown.trials))
    save_spec(shown.spec, out)
    write_trials(shown, out / "trials.parquet")
    write_finals(shown, outcome_of(shown).comparisons, out / "finals.parquet")
    return shown


def test_a_small_sweep_s_winner_has_one_p_value_everywhere(tmp_path: Path) -> None:
    shown = small_sweep(tmp_path / "s")
    write(build([tmp_path / "s"], Options(with_figures=False)), tmp_path / "report")
    rows = pl.read_parquet(tmp_path / "s" / "finals.parquet").filter(pl.col("winner")).to_dicts()
    assert {row["decides"] for row in rows} == {"STSBenchmark.test"}
    known = stats.ttest_rel([65.0, 66.5, 64.0], [64.0, 64.8, 64.2])
    assert [row["seed_holm"] for row in rows] == pytest.approx([known.pvalue] * 3)
    said = said_of_the_winner(shown, tmp_path / "report")
    assert said == {place: {numbers_of(rows[0])} for place in said}


def test_final_runs_without_comparisons_are_tested_by_the_same_rule(tmp_path: Path) -> None:
    """A finals.parquet of an earlier version: reports work the answers out."""
    shown = small_sweep(tmp_path / "s")
    path = tmp_path / "s" / "finals.parquet"
    frame = pl.read_parquet(path)
    old = ("recipe", "candidate", "seed", "state", "reason", "STSBenchmark.dev", "STSBenchmark.test")
    frame.select(old).write_parquet(path)
    write(build([tmp_path / "s"], Options(with_figures=False)), tmp_path / "report")
    said = said_of_the_winner(shown, tmp_path / "report")
    assert said == {place: {numbers_of(frame.filter(pl.col("winner")).to_dicts()[0])} for place in said}


def ranked(number: int, value: float, *, point: str, violation: float = 0.0) -> TrialRecord:
    path = {"optim.learning_rate": 1e-3, "objective.intra_modal": 0.2}
    run = RunRecord(number, f"f{number}", "complete", None, value, (value,), 9, 10.0)
    return TrialRecord(number, "quickstart", path, point, "complete", (run,), violation=violation)


def test_the_page_names_the_trial_that_the_sweep_calls_best(tmp_path: Path) -> None:
    """Not the one with the highest value that breaks a constraint; and two seeds of one point are one point."""
    trials = (
        ranked(0, 79.0, point="outside", violation=2.0),
        ranked(1, 76.0, point="twice"),
        ranked(2, 75.5, point="once"),
        ranked(3, 74.0, point="twice"),
    )
    shown = SweepState(tmp_path, spec(), trials, (), 1.0, 0.0)
    save_spec(shown.spec, tmp_path)
    write_trials(shown, tmp_path / "trials.parquet")
    report = build([tmp_path], Options(with_figures=False))
    (board,) = report.tables
    rows = [(row.label, row.cells["value"].text, row.cells["value"].count) for row in board.measured]
    assert rows == [("trial 2", "75.50", 1), ("trial 1", "75.00", 2)]
    assert best_lines(outcome_of(shown))[0].startswith("best: trial 2 of quickstart")
    assert report.answers[0].headline.startswith("trial 2 is best in the search: 75.50")
