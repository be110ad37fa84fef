"""Every recipe and every key can be listed, searched and explained; a recipe that is printed is a config file."""

from pathlib import Path

import pytest

from dalr.config.commands import config, explained, meaning, recipes
from dalr.config.keys import known_keys
from dalr.config.loading import load_config
from dalr.config.recipes import RECIPES
from dalr.errors import InputError


def test_the_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    recipes()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(recipe.summary in line for line, recipe in zip(lines, RECIPES.values(), strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_is_printed_is_that_recipe_as_a_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes(name)
    text = capsys.readouterr().out
    assert RECIPES[name].source in text
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert load_config(str(path)).config == load_config(name).config


def test_every_key_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    config()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[::2]] == known_keys()
    assert all(meaning(key) for key in known_keys())


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("objective.temperature", "objective.temperature"),
        ("lr", "optim.learning_rate"),
        ("warm-up", "optim.schedule"),
    ],
)
def test_keys_are_found_by_name_by_other_names_and_by_meaning(
    words: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config(words)
    assert key in [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]


def test_an_explanation_has_type_range_default_and_meaning() -> None:
    assert explained("objective.margin_vl").splitlines()[0] == (
        "objective.margin_vl: a number >= 0.0 and <= 1.5707; default 0.0"
    )
    assert explained("data.pair_every").splitlines()[0] == (
        "data.pair_every: an integer >= 1 or auto or null; default auto"
    )
    assert "radians" in explained("objective.margin_vl")


def test_nothing_found_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"objective\.temperature"):
        config("objective.temprature")
