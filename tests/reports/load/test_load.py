"""Loading: every kind of file is either read or named."""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from dalr.errors import InputError
from dalr.reports.load.frame import SCHEMA, load
from dalr.results import STS, TRANSFER
from tests.reports import make


def test_one_row_per_model_task_seed_and_metric(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    loaded = load([tmp_path / "runs"])
    frame = loaded.scores.collect()
    assert dict(frame.schema) == SCHEMA
    scores = frame.filter(pl.col("metric") == "score")
    assert scores.height == 2 * 3 * len(STS)
    assert scores.select("row", "seed", "task").is_unique().all()
    assert set(frame["recipe"]) == {"dalr", "simcse"}
    assert loaded.problems == ()


def test_seeds_of_one_setting_share_a_row_whatever_folder_they_are_in(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    assert load([tmp_path / "runs"]).scores.collect()["row"].n_unique() == 2


def test_the_same_files_at_another_place_are_the_same_setting(tmp_path: Path) -> None:
    for seed, home in enumerate(["/home/a", "/scratch/b/data"], start=1):
        files = {"data__captions": f"{home}/captions.csv", "evaluation__data": f"{home}/senteval"}
        places = {"data__root": home, "data__store": f"{home}/features", "evaluation__tasks": ["sts"] * seed}
        made = make.result(seed=seed, base=70 + seed)
        make.run(tmp_path / str(seed), seed=seed, results={"a.json": made}, **files, **places)
    loaded = load([tmp_path])
    assert loaded.scores.collect()["row"].n_unique() == 1
    assert loaded.problems == ()


def test_files_are_the_same_by_their_checksum_where_runs_wrote_it_down(tmp_path: Path) -> None:
    files = [("a/captions.csv", "11"), ("b/captions.csv", "22"), ("c/copy-of-captions.csv", "11")]
    for seed, (file, checksum) in enumerate(files, start=1):
        notes = {"data": {"data.captions": checksum * 32}}
        made = {"results": {"a.json": make.result(seed=seed)}, "notes": notes, "data__captions": f"/data/{file}"}
        make.run(tmp_path / str(seed), seed=seed, **made)
    rows = {one.seed: one.run.settings["data.captions"] for one in load([tmp_path]).sources.values() if one.run}
    assert rows == {1: "captions.csv@11111111", 2: "captions.csv@22222222", 3: "captions.csv@11111111"}
    assert load([tmp_path]).scores.collect()["row"].n_unique() == 2


def test_a_key_that_older_runs_lack_is_no_difference_where_newer_ones_agree(tmp_path: Path) -> None:
    for seed, changes in enumerate([{}, {"train__new": 4}, {"train__new": 4}], start=1):
        make.run(tmp_path / str(seed), seed=seed, results={"a.json": make.result(seed=seed)}, **changes)
    assert load([tmp_path]).scores.collect()["row"].n_unique() == 1
    make.run(tmp_path / "4", seed=4, results={"a.json": make.result(seed=4)}, train__new=2)
    assert load([tmp_path]).scores.collect()["row"].n_unique() == 3


def test_results_on_two_versions_of_a_file_are_named(tmp_path: Path) -> None:
    make.result(model="a", data={"downstream/x": "00"}).write(tmp_path / "a.json")
    make.result(model="b", data={"downstream/x": "11"}).write(tmp_path / "b.json")
    (problem,) = load([tmp_path]).problems
    assert problem.path.endswith("b.json")
    assert "scored on another downstream/x (sha256 11…) than" in problem.message


def test_transfer_details_and_geometry_are_rows_too(tmp_path: Path) -> None:
    made = make.result(tasks=TRANSFER)
    values = made.model_dump()
    values["alignment"] = {"dalr": {"value": None, "reason": "no pair above 4", "tasks": {"STS12": 0.25}}}
    (tmp_path / "a.json").write_text(json.dumps(values))
    frame = load([tmp_path]).scores.collect()
    assert set(frame["metric"]) == {"score", "acc", "devacc", "alignment/dalr"}
    row = frame.filter(pl.col("metric") == "alignment/dalr", pl.col("task") == "all")
    assert row["value"].to_list() == [None]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "not a readable JSON file"),
        ('{"hello": 1}', "not a result"),
        ("[1]", "not a result"),
        ('{"schema": 99, "tasks": {}}', "schema 99 is newer than this version reads (1); update dalr"),
        ('{"schema": 1, "tasks": {"MR": {"score": NaN, "n": 1}}}', "not a valid result"),
        (b"\xff\xfe{", "not a readable JSON file"),
    ],
)
def test_a_damaged_or_foreign_file_is_named_and_the_rest_is_read(
    tmp_path: Path, content: str | bytes, expected: str
) -> None:
    make.result().write(tmp_path / "good.json")
    (tmp_path / "bad.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    loaded = load([tmp_path])
    assert list(loaded.sources) == [f"{tmp_path.name}/good.json"]
    (problem,) = loaded.problems
    assert problem.path == f"{tmp_path.name}/bad.json"
    assert expected in problem.message
    assert "\n" not in problem.message


def test_two_results_that_claim_the_same_run_are_named_and_the_newer_counts(tmp_path: Path) -> None:
    make.result(base=60, created="2026-01-01T00:00:00").write(tmp_path / "old.json")
    make.result(base=70, created="2026-01-02T00:00:00").write(tmp_path / "new.json")
    loaded = load([tmp_path])
    assert list(loaded.sources) == [f"{tmp_path.name}/new.json"]
    (problem,) = loaded.problems
    assert problem.path.endswith("old.json")
    assert "claims the same run (a-model, seed None)" in problem.message
    assert "different scores for SICKRelatedness, STS12" in problem.message


def test_results_with_other_tasks_of_the_same_run_belong_together(tmp_path: Path) -> None:
    make.result().write(tmp_path / "sts.json")
    make.result(tasks=TRANSFER).write(tmp_path / "transfer.json")
    loaded = load([tmp_path])
    assert loaded.problems == ()
    assert loaded.scores.collect()["row"].n_unique() == 1


def test_an_average_that_is_not_its_tasks_mean_is_named(tmp_path: Path) -> None:
    made = make.result().model_copy(update={"sts_avg": 99.0})
    made.write(tmp_path / "a.json")
    (problem,) = load([tmp_path]).problems
    assert "sts_avg is 99.0000, but its tasks' mean is 73.0000" in problem.message


def test_an_empty_folder_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"nothing to report in .*empty: expected runs, sweeps or result files"):
        load([tmp_path / "empty"])
    with pytest.raises(InputError, match=r"no such file or folder: .*absent"):
        load([tmp_path / "absent"])


def test_a_report_is_not_reported_on_and_its_name_alone_hides_nothing(tmp_path: Path) -> None:
    make.result().write(tmp_path / "results" / "report.json")
    assert list(load([tmp_path]).sources) == [f"{tmp_path.name}/results/report.json"]
    (tmp_path / "results" / "index.html").write_text("")
    with pytest.raises(InputError, match="is itself a report; name the folders that it was made from"):
        load([tmp_path / "results"])


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    make.result().write(tmp_path / "elsewhere" / "a.json")
    (tmp_path / "runs").mkdir()
    for name in ("link", "again", "circle"):
        (tmp_path / "runs" / name).symlink_to(tmp_path / ("runs" if name == "circle" else "elsewhere"))
    loaded = load([tmp_path / "runs"])
    assert (len(loaded.sources), loaded.problems) == (1, ())


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.result().write(tmp_path / "good" / "a.json")
    (tmp_path / "shut").mkdir()
    scan = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refused)
    (problem,) = load([tmp_path]).problems
    assert problem.path == f"{tmp_path.name}/shut"
    assert problem.message == "cannot be looked into: Permission denied"


def test_runs_without_a_result_are_named_but_not_a_sweep_s_trials(tmp_path: Path) -> None:
    make.run(tmp_path / "all" / "scored", results={"a.json": make.result()})
    make.run(tmp_path / "all" / "training", seed=2)
    make.run(make.sweep(tmp_path / "all" / "s", count=4) / "runs" / "trial-0001-seed-1")
    assert load([tmp_path / "all"]).unscored == ("all/training",)


def test_weights_data_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    run = make.run(tmp_path / "a", results={"sts.json": make.result()})
    for place in ("model", "checkpoints/step-5", ".cache"):
        (run / place).mkdir(parents=True)
        (run / place / "config.json").write_text("{}")
    assert load([tmp_path]).problems == ()


def test_an_unreadable_config_is_named_and_the_result_still_counts(tmp_path: Path) -> None:
    run = make.run(tmp_path / "a", results={"sts.json": make.result()})
    (run / "config.yaml").write_text("model: [")
    loaded = load([tmp_path])
    assert len(loaded.sources) == 1
    (problem,) = loaded.problems
    assert "not valid YAML" in problem.message


def test_two_folders_of_one_name_have_two_names(tmp_path: Path) -> None:
    for parent in ("x", "y"):
        make.result(model=f"model-{parent}").write(tmp_path / parent / "results" / "a.json")
    loaded = load([tmp_path / "x" / "results", tmp_path / "y" / "results"])
    assert sorted(loaded.sources) == ["results/a.json", "y/results/a.json"]


def test_a_run_is_one_row_by_what_it_was_made_from_whatever_its_paths_and_keys(tmp_path: Path) -> None:
    notes = {"schema": 2, "setting_fingerprint": "0123456789abcdef", "contents": {"data.captions": "aa"}}
    for seed, (place, settings) in enumerate([("a", {}), ("b", {"data__captions": "/mnt/other.csv"})], 1):
        made = make.result(base=70.0 + seed, seed=seed)
        make.run(tmp_path / place / "r", seed=seed, results={"sts.json": made}, notes=notes, **settings)
    assert load([tmp_path]).scores.collect()["row"].n_unique() == 1
    other = {**notes, "setting_fingerprint": "fedcba9876543210", "contents": {"data.captions": "bb"}}
    make.run(tmp_path / "c", seed=3, results={"sts.json": make.result(seed=3)}, notes=other)
    assert load([tmp_path]).scores.collect()["row"].n_unique() == 2


def test_a_result_finds_its_run_by_the_fingerprint_of_an_earlier_version(tmp_path: Path) -> None:
    make.run(tmp_path / "runs" / "a", notes={"config_fingerprint": "new", "former_fingerprints": ["old"]})
    make.result(model="/gone/a/model", config_fingerprint="old").write(tmp_path / "runs" / "results.json")
    (source,) = load([tmp_path / "runs"]).sources.values()
    assert source.run_name == "runs/a"


def test_a_run_that_was_extended_is_one_row_whose_settings_say_so(tmp_path: Path) -> None:
    stages = [{"until": 60, "steps": 100, "epochs": None}]
    make.run(tmp_path / "a", results={"a.json": make.result(seed=1)}, train__stages=[])
    make.run(tmp_path / "b", results={"a.json": make.result(seed=1)}, train__stages=stages, train__steps=200)
    make.run(tmp_path / "old", seed=2, results={"a.json": make.result(seed=2)})  # an earlier version's: no such key
    loaded = load([tmp_path])
    assert loaded.scores.collect()["row"].n_unique() == 2
    settings = {one.run.folder.name: one.run.settings for one in loaded.sources.values() if one.run}
    assert settings["b"]["train.extended"] == "60 of 100 steps"
    assert settings["b"].keys() - settings["a"].keys() == {"train.extended"}
    assert settings["a"] == settings["old"]
    assert loaded.problems == ()
