"""Data and settings that nothing reads are named; those that the active terms read are not."""

import logging
from pathlib import Path

import pytest

from dalr.config.keys import known_keys
from dalr.config.loading import load_config
from dalr.config.recipes import RECIPES
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.training.without_effect import readers, report_unread, unread_keys


def unread(recipe: str, **changes: object) -> dict[str, str]:
    config, written = load_config(recipe, {key.replace("__", "."): value for key, value in changes.items()})
    return unread_keys([config], written)


def test_captions_with_pictures_and_no_recipe_are_plain_simcse(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {student: bert-base-uncased}\ndata: {captions: c.csv, images: pictures}\n")
    config, written = load_config(str(path))
    found = unread_keys([config], written)
    assert set(found) == {"data.images"}
    assert "plain SimCSE: set recipe" in found["data.images"]
    path.write_text("recipe: dalr\n" + path.read_text())
    config, written = load_config(str(path))
    assert unread_keys([config], written) == {}


@pytest.mark.parametrize(
    ("recipe", "changes", "key", "reason"),
    [
        ("simcse", {"teachers__text": [{"model": "x"}]}, "teachers.text", "no active term reads it"),
        ("simcse", {"objective__weights__rank": 1.0, "teachers__text": [{"model": "x"}]}, "objective.weights.rank",
         "objective.intra_modal is 0"),
        ("simcse", {"objective__intra_modal": 0.2}, "objective.intra_modal", "all terms of its group"),
        ("simcse", {"objective__threshold": 0.5}, "objective.threshold", "grounding_image and grounding_text are off"),
        ("mcse", {"data__images": "p"}, "data.images", "data.image_features are read instead"),
        ("mcse", {"objective__rank_loss": "listnet"}, "objective.rank_loss", "rank is off; active: grounding_image"),
        ("mcse", {"model__projection_dim": 8, "objective__cross_modal": 0.0}, "model.projection_dim", "modal is 0"),
        ("mcse", {"teachers__image": {"model": "ViT-B-32"}}, "teachers.image", "data.image_features are read instead"),
        ("dalr", {"data__image_ids": "i"}, "data.image_ids", "data.image_features is not set"),
        ("dalr", {"data__pair_every": 1, "data__text": "t"}, "data.text", "captions only"),
        ("dalr", {"data__caption_features": "f"}, "data.caption_features", "grounding_text is off"),
        ("dalr", {"evaluation__data": None, "evaluation__metric": "STS12.test"}, "evaluation.metric", "is set"),
        ("dalr", {"objective__softening": 0.5, "objective__soft__cross_alignment__softening": 0.1,
                  "objective__soft__intra_alignment__softening": 0.1}, "objective.softening", "stand above it"),
        ("rankcse", {"data__captions": "c"}, "data.captions", "no pairs"),
        ("dalr_paper", {"objective__token_norm": "token"}, "objective.token_norm", "local_global is off"),
    ],
)  # fmt: skip
def test_what_nothing_reads_is_named_with_the_reason(
    recipe: str, changes: dict[str, object], key: str, reason: str
) -> None:
    found = unread(recipe, **changes)
    assert key in found
    assert reason in found[key]


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("dalr", {"data__images": "p", "objective__softening": 0.5, "teachers__text__0__weight": 0.5}),
        ("dalr", {"objective__soft__cross_alignment__softening": 0.1, "objective__softening": 0.5}),
        ("mcse", {"data__image_features": "f", "data__image_ids": "i", "objective__margin_vl": 0.1}),
        ("kdmcse", {"objective__threshold": 0.5, "data__caption_features": "f"}),
        ("simcse", {"train__seed": 3, "model__layers": 2, "objective__temperature": 0.1}),
        ("simcse", {"objective__intra_modal": 0.0, "data__images": None, "objective__on_text": []}),
        ("rankcse", {"objective__temperature_rank": 0.1, "objective__on_text": ["rank", "dropout_consistency"]}),
    ],
)
def test_what_is_read_or_switched_off_is_not_named(recipe: str, changes: dict[str, object]) -> None:
    assert unread(recipe, **changes) == {}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_own_values_and_a_runs_config_are_not_named(name: str, tmp_path: Path) -> None:
    from dalr.config.overrides import to_yaml

    config = load_config(name).config
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    again, written = load_config(str(tmp_path))
    assert again == config
    assert unread_keys([again], written) == {}


def test_a_key_that_one_of_several_configs_reads_is_read() -> None:
    configs = [RECIPES["simcse"](), RECIPES["dalr"]()]
    assert unread_keys(configs[:1], {"objective.rank_loss"}) != {}
    assert unread_keys(configs, {"objective.rank_loss"}) == {}


def test_strict_makes_it_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match=r"data\.images has no effect: .*plain SimCSE"):
        report_unread([RunConfig()], {"data.images"}, strict=True)
    with caplog.at_level(logging.WARNING):
        report_unread([RunConfig()], {"data.images"}, strict=False)
    assert "data.images has no effect" in caplog.text
    assert "(an error with strict=True)" in caplog.text


def test_every_listed_key_exists() -> None:
    assert set(readers()) <= set(known_keys())
