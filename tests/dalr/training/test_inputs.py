"""What a config names and is not there is said with its key, where it was looked for, and how to get it."""

import re
from pathlib import Path

import pytest

from dalr.config.loading import load_config
from dalr.config.overrides import with_overrides
from dalr.config.recipes import FETCHED, RECIPES
from dalr.config.schema import RunConfig
from dalr.datasets import fetch
from dalr.errors import InputError
from dalr.identity import identity_of
from dalr.training.inputs import check_inputs


def complaint(recipe: str, **changes: object) -> str:
    config = load_config(recipe, {key.replace("__", "."): value for key, value in changes.items()}).config
    with pytest.raises(InputError) as caught:
        check_inputs(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_recipes_missing_corpus_says_how_to_fetch_it(tmp_path: Path) -> None:
    message = complaint("simcse", data__root=str(tmp_path / "corpora"))
    root = tmp_path / "corpora"
    assert f"data.text: no such file: {root}/wiki1m_for_simcse.txt" in message
    assert f"dalr data fetch wiki1m --out {root}" in message


def test_without_a_root_recipes_look_where_fetch_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dalr.datasets.commands import default_folder

    monkeypatch.setenv("DALR_CACHE", str(tmp_path / "cache"))
    assert f"--out {tmp_path / 'cache'}" in complaint("simcse")
    assert default_folder() == tmp_path / "cache"
    monkeypatch.setenv("DALR_DATA", str(tmp_path / "data"))
    assert f"--out {tmp_path / 'data'}" in complaint("simcse")
    assert default_folder() == tmp_path / "data"


def test_both_places_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rooted = {"data__root": "corpora", "data__text": "mine.txt"}
    message = complaint("simcse", **rooted)
    assert f"{tmp_path}/corpora/mine.txt" in message
    assert f"nor is there {tmp_path}/mine.txt" in message
    (tmp_path / "mine.txt").write_text("a\n")
    assert f"{tmp_path}/mine.txt is there: give its full path" in complaint("simcse", **rooted)
    message = complaint("simcse", data__text="other.txt")
    assert f"no such file: {tmp_path}/other.txt" in message
    assert "data.root is not set" in message


def test_what_can_be_fetched_is_what_recipes_name() -> None:
    assert {*fetch.FETCHERS, *fetch.MANUAL} == set(FETCHED.values())
    named = {
        str(path).split("/")[0]
        for recipe in RECIPES.values()
        for path in (recipe().data.text, recipe().data.captions, recipe().evaluation.data)
        if path is not None and not str(path).startswith("embedded")
    }
    assert named == set(FETCHED)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("STSB.dev", "evaluation.metric: unknown task 'STSB'"),
        ("STSBenchmark", "evaluation.metric: metric 'STSBenchmark': expected TASK.SPLIT"),
        ("STS12.dev", "evaluation.metric: metric 'STS12.dev': STS12 has no split 'dev'"),
    ],
)
def test_a_wrong_metric_is_named_by_its_key(metric: str, words: str, small: RunConfig) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        check_inputs(with_overrides(small, {"evaluation.metric": metric}))


def test_a_folder_in_place_of_a_file_is_called_one(small: RunConfig, tmp_path: Path) -> None:
    for key in ("data.text", "data.image_ids", "data.image_features"):
        with pytest.raises(InputError, match=rf"{re.escape(key)}: .* is a folder, expected a file"):
            identity_of(with_overrides(small, {key: str(tmp_path)}))


@pytest.mark.parametrize("name", [" ", "a b", "--", "a//b", "ü", "x" * 200])
def test_a_name_that_no_model_can_have_is_one_line(name: str, small: RunConfig) -> None:
    with pytest.raises(InputError, match=r"model\.student: ") as caught:
        identity_of(with_overrides(small, {"model.student": name}))
    assert "\n" not in str(caught.value)
