"""A sweep of named arms: the table of them, and their planned contrasts."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from scipy import stats

from dalr.errors import InputError
from dalr.reports.build import Report, build
from dalr.reports.check import check
from dalr.reports.commands import report as report_command
from dalr.reports.options import Options
from dalr.reports.tables.grid import Table
from dalr.reports.tables.scores import AVERAGE
from dalr.reports.write import write
from dalr.results import STS, TRANSFER, read_result
from tests.reports import make


def _report(folder: Path, **options: object) -> Report:
    return build([folder], Options(with_figures=False, **options))  # type: ignore[arg-type]


def _named(report: Report, name: str) -> Table:
    return next(table for table in report.tables if table.name == name)


def _averages(report: Report) -> dict[str, np.ndarray]:
    """Label → the STS average of each seed, from the table of scores."""
    rows = _named(report, "sts").measured
    return {row.label: np.array([row.cells[AVERAGE].by_seed[s] for s in sorted(row.seeds)]) for row in rows}  # type: ignore[type-var]


def test_rows_are_called_by_their_arms_and_the_values_searched_beside_them(tmp_path: Path) -> None:
    report = _report(make.arms_sweep(tmp_path / "s"))
    expected = {f"{arm}, pair_every={pairs}" for arm in make.ARM_SETTINGS for pairs in (1, 6)}
    assert {row.label for row in _named(report, "sts").measured} == expected
    alone = _report(make.arms_sweep(tmp_path / "t", schedules=(1,)))
    assert {row.label for row in _named(alone, "sts").measured} == set(make.ARM_SETTINGS)


def test_the_table_of_arms_compares_each_with_the_first_on_the_same_seeds(tmp_path: Path) -> None:
    report = _report(make.arms_sweep(tmp_path / "s", tasks=(*STS, *TRANSFER)))
    table, averages = _named(report, "arms-s"), _averages(report)
    assert [block.title for block in table.blocks] == ["pair_every=1", "pair_every=6"]
    assert list(table.columns.values())[:6] == ["STS Avg.", "difference", "95 % interval", "n", "p", "Transfer Avg."]
    for block in table.blocks:
        assert [row.label for row in block.rows] == list(make.ARM_SETTINGS), "in the order of the specification"
        p_values = []
        for row in block.rows:
            ours, base = (averages[f"{arm}, {block.title}"] for arm in (row.label, "neither"))
            assert row.cells["sts.Avg"].value == pytest.approx(ours.mean())
            assert row.cells["sts.Avg"].deviation == pytest.approx(ours.std(ddof=1))
            if row.label == "neither":
                assert "sts.Avg.difference" not in row.cells
                continue
            tested = stats.ttest_rel(ours, base)
            low, high = tested.confidence_interval(0.95)
            assert row.cells["sts.Avg.difference"].value == pytest.approx((ours - base).mean())
            assert row.cells["sts.Avg.interval"].text == f"{low:+.2f} to {high:+.2f}"
            assert row.cells["sts.Avg.n"].text == "4"
            p_values.append((tested.pvalue, row.cells["sts.Avg.p"].value))
        p_values.sort()
        stepped = np.maximum.accumulate([p * (3 - rank) for rank, (p, _) in enumerate(p_values)]).clip(max=1)
        assert [shown for _, shown in p_values] == pytest.approx(stepped)


def test_planned_contrasts_are_tested_for_each_point_and_have_the_first_word(tmp_path: Path) -> None:
    report = _report(make.arms_sweep(tmp_path / "s", contrasts=make.PLANNED))
    table, averages = _named(report, "contrasts-s"), _averages(report)
    titles = [block.title for block in table.blocks]
    assert titles[:2] == ["pair_every=1, STS Avg.", "pair_every=6, STS Avg."]
    assert titles[2] == "pair_every=1, Avg. of STS12 to STS16 (described)"
    for block in table.blocks[:2]:
        point = block.title.split(",")[0]
        for row, (name, weights) in zip(block.rows, make.PLANNED.items(), strict=True):
            values = sum(weight * averages[f"{arm}, {point}"] for arm, weight in weights.items())
            assert row.label.startswith(f"{name}: ")
            assert row.cells["difference"].value == pytest.approx(np.mean(values))
            assert row.cells["p"].value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    first = {row.label.split(":")[0]: row.cells for row in table.blocks[0].rows}
    assert first["images given no teacher"]["finding"].text == "found"
    assert first["images given a teacher"]["finding"].text == "equal within ±0.5"
    assert first["images given a teacher"]["equivalence"].value == pytest.approx(_tost(averages, 0.5))
    assert "p" not in table.blocks[2].rows[0].cells, "a described score is not tested"
    assert not any(column.endswith(".p") for column in _named(report, "arms-s").columns), "the contrasts are the tests"
    assert report.answers[0].where == "Sweep s, planned contrasts, pair_every=1, STS Avg."
    assert report.answers[0].headline.startswith("2 of 3 contrasts are found: images given no teacher +1.86, ")
    found, _, others = report.answers[0].reason.partition(" Not found: ")
    assert found.startswith("Found: images given no teacher +1.86 (n = 4 seeds, 95 % interval ")
    assert others.startswith("images given a teacher ")


def _tost(averages: dict[str, np.ndarray], margin: float) -> float:
    values = averages["both, pair_every=1"] - averages["teacher, pair_every=1"]
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(stats.t.sf((margin - abs(values.mean())) / error, len(values) - 1))


def test_a_planned_difference_is_the_answer_of_its_pair_wherever_it_is_asked(tmp_path: Path) -> None:
    folder = make.arms_sweep(tmp_path / "s", schedules=(1,), contrasts=make.PLANNED)
    report = _report(folder, baseline="neither")
    cells = {row.label.split(":")[0]: row.cells for row in _named(report, "contrasts-s").blocks[0].rows}
    planned = cells["images given a teacher"]["holm"].value
    assert planned is not None
    best = next(answer for answer in report.answers if "has the highest average" in answer.headline)
    assert best.headline.startswith("both has the highest average")
    assert f"p = {planned:.2g}" in best.reason


def test_an_interaction_is_written_out(tmp_path: Path) -> None:
    report = _report(make.arms_sweep(tmp_path / "s", schedules=(1,), contrasts=make.PLANNED))
    labels = [row.label for row in _named(report, "contrasts-s").blocks[0].rows]
    assert labels[-1] == "interaction: both + neither − teacher − images"
    assert _named(report, "contrasts-s").blocks[0].title == "STS Avg."


def test_a_planned_comparison_holds_its_own_seeds_whatever_is_reported_with_it(tmp_path: Path) -> None:
    """Runs of the same settings, in another sweep: scores of all seeds are one row, what was planned stays."""
    alone = _report(make.arms_sweep(tmp_path / "both" / "s", contrasts=make.PLANNED, tasks=(*STS, *TRANSFER)))
    make.arms_sweep(tmp_path / "both" / "t", first_seed=5, seeds=5)
    together = _report(tmp_path / "both")
    assert {len(row.seeds) for row in _named(together, "sts").measured} == {9}
    assert {len(row.seeds) for row in _named(together, "arms-both-t").measured} == {5}
    for kind in ("arms", "contrasts"):
        before, after = _named(alone, f"{kind}-s"), _named(together, f"{kind}-both-s")
        for mine, other in zip(before.measured, after.measured, strict=True):
            assert (mine.label, mine.seeds) == (other.label, other.seeds)
            for column, cell in mine.cells.items():
                assert (cell.text, cell.count) == (other.cells[column].text, other.cells[column].count)


def test_a_score_of_fewer_seeds_than_its_rows_is_counted_by_its_own(tmp_path: Path) -> None:
    folder = make.arms_sweep(tmp_path / "s", schedules=(1,), contrasts=make.PLANNED, tasks=(*STS, *TRANSFER))
    for path in list(folder.glob("runs/*/results/test.json")):
        result = read_result(path)
        parts = [{name: result.tasks[name] for name in group} for group in (STS, TRANSFER)]
        result.model_copy(update={"tasks": parts[0]}).write(path)
        if path.parent.parent.name.endswith(("seed-1", "seed-2")):
            result.model_copy(update={"tasks": parts[1]}).write(path.with_name("transfer.json"))
    report = _report(folder)
    arms, contrasts = _named(report, "arms-s"), _named(report, "contrasts-s")
    for row in arms.blocks[0].rows:
        assert (len(row.seeds), row.cells["sts.Avg"].count, row.cells["transfer.Avg"].count) == (4, 4, 2)
        assert f"{row.label}: fewer than its 4 seeds in Transfer Avg. (2)." in arms.notes
    for block in contrasts.blocks:
        seeds, file = (2, "transfer.json") if "Transfer" in block.title else (4, "test.json")
        for row in block.rows:
            assert (len(row.seeds), row.cells["difference"].count) == (seeds, seeds), block.title
            assert {Path(source).name for source in row.cells["difference"].sources} == {file}, block.title


def test_contrasts_from_a_file_are_kept_with_the_report(tmp_path: Path) -> None:
    folder, plan = make.arms_sweep(tmp_path / "s", schedules=(1,)), tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump({"contrasts": {"teacher": {"teacher": 1, "neither": -1}}, "equivalence_margin": 1}))
    out = tmp_path / "report"
    report_command([folder], out=out, contrasts=plan, no_figures=True, quiet=True)
    plan.unlink()
    assert check(out) == []
    assert "within ±1 points" in (out / "tables" / "contrasts-s.md").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms: {}", "it has no contrasts"),
        ("contrasts: [a]", "contrasts: expected keys and values"),
        ("contrasts: {x: {a: b}}", "contrasts: x: expected arms and weights"),
        (
            "contrasts: {x: {images: 1, neither: -1}}\nequivalence_margin: 0",
            "equivalence_margin: expected points above 0",
        ),
        ("contrasts: {x: {images: 1, neither: -2}}", "x: the weights sum to -1, not to 0"),
        ("contrasts: {x: {image: 1, neither: -1}}", "no sweep has the arms of contrast x: image, neither"),
    ],
)
def test_a_plan_that_cannot_be_tested_is_refused(text: str, message: str, tmp_path: Path) -> None:
    folder, plan = make.arms_sweep(tmp_path / "s", schedules=(1,), seeds=1), tmp_path / "plan.yaml"
    plan.write_text(text)
    with pytest.raises(InputError, match=message):
        build([folder], _options(plan))


def _options(plan: Path) -> Options:
    words = {"average": "unrounded", "aggregation": "all", "with_figures": False, "formats": "svg"}
    return Options.checked(names=[], baseline=None, ablate=[], contrasts=plan, **words)  # type: ignore[arg-type]


def test_arms_without_test_scores_have_a_leaderboard_alone(tmp_path: Path) -> None:
    folder = make.arms_sweep(tmp_path / "s", schedules=(1,), seeds=1)
    for path in folder.glob("runs/*/results/test.json"):
        path.unlink()
    report = _report(folder)
    assert [table.name for table in report.tables] == ["leaderboard-s"]
    assert {row.label for row in report.tables[0].measured} == {
        f"trial {n}, {arm}" for n, arm in enumerate(make.ARM_SETTINGS)
    }
    assert report.answers == (), "nothing was searched, so nothing was chosen"


def test_the_written_tables_hold_every_difference(tmp_path: Path) -> None:
    report = _report(make.arms_sweep(tmp_path / "s", contrasts=make.PLANNED))
    write(report, tmp_path / "out")
    text = (tmp_path / "out" / "tables" / "arms-s.md").read_text()
    assert "| *pair\\_every=6* |" in text
    assert "(described)" in (tmp_path / "out" / "tables" / "contrasts-s.tex").read_text()


def test_the_paper_s_ablation_stands_below_arms_of_its_names(tmp_path: Path) -> None:
    arms = dict(zip(make.ARM_SETTINGS, ("base", "+ cross-modal", "+ intra-modal", "both"), strict=True))
    folder = make.arms_sweep(tmp_path / "s", schedules=(1,), seeds=2, tasks=(*STS, *TRANSFER))
    spec = yaml.safe_load((folder / "sweep.yaml").read_text())
    spec["arms"] = {arm: {} for arm in arms.values()}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    path = folder / "trials.parquet"
    pl.read_parquet(path).with_columns(pl.col("arm").replace(arms)).write_parquet(path)
    table = _named(_report(folder), "arms-s")
    block = table.blocks[-1]
    assert block.title == "Published, as printed by their sources: DALR's ablation, BERT-base, wiki+flickr"
    printed = {row.label: (row.cells["sts.Avg"].text, row.cells["transfer.Avg"].text) for row in block.rows}
    assert printed == {
        "base": ("77.3", "85.64"),
        "+ cross-modal": ("78.8", "86.38"),
        "+ intra-modal": ("78.6", "86.25"),
        "both": ("79.5", "86.92"),
    }
    assert {row.note for row in block.rows} == {"[dalr] secondary"}
    assert any("SECONDARY SOURCE" in note for note in table.notes)
    hidden = _named(_report(folder, hide_published=True), "arms-s")
    assert [block.kind for block in hidden.blocks] == ["measured"]
