"""Configs: what is refused and how it is said, overrides, paths, writing and reading."""

from pathlib import Path

import pytest
import yaml

from dalr.config.keys import known_keys
from dalr.config.loading import load_recipe, read_config
from dalr.config.overrides import parse_override, to_yaml, with_absolute_paths, with_overrides
from dalr.config.recipes import PRESETS, RECIPES
from dalr.config.schema import RunConfig
from dalr.errors import InputError

# Every key that the documentation names.
DOCUMENTED = """
model.student model.layers model.pooler model.max_tokens model.projection_dim
data.root data.text data.captions data.images data.image_features data.image_ids data.caption_features data.store
data.pair_every evaluation.data evaluation.metric evaluation.tasks teachers.text teachers.text.0.model
teachers.text.0.pooler teachers.text.0.weight teachers.image.model teachers.image.weights
objective.temperature objective.temperature_vl objective.temperature_rank objective.alignment_temperature
objective.target_temperature objective.softening objective.eta objective.margin_text objective.margin_vl
objective.consistency_margin objective.cross_modal objective.intra_modal objective.rank_loss
objective.weights.grounding_image objective.weights.grounding_text objective.weights.consistency
objective.weights.cross_alignment objective.weights.intra_alignment objective.weights.rank
objective.weights.local_global objective.weights.dropout_consistency
objective.soft.cross_alignment.temperature objective.soft.cross_alignment.target_temperature
objective.soft.cross_alignment.softening objective.soft.cross_alignment.eta
objective.soft.intra_alignment.temperature objective.soft.intra_alignment.softening
objective.image_softened_margin objective.threshold objective.token_norm objective.on_text
optim.learning_rate optim.weight_decay optim.warmup_steps optim.clip_norm optim.schedule
train.steps train.epochs train.batch_size train.seed train.eval_every train.checkpoint_every train.keep
train.precision train.compile train.accumulate train.activation_checkpointing
""".split()


def override(text: str, recipe: str = "dalr") -> RunConfig:
    return with_overrides(load_recipe(recipe), dict([parse_override(text)]))


def test_every_documented_key_exists() -> None:
    assert set(DOCUMENTED) <= set(known_keys())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("objective.temprature=1", ["unknown key objective.temprature", "objective.temperature"]),
        ("learning_rate=1", ["unknown key learning_rate", "optim.learning_rate"]),
        ("objective.temperature=-1", ["objective.temperature", "-1", ">= 0.001", "<= 100"]),
        ("objective.temperature=.nan", ["objective.temperature", "a number"]),
        ("train.steps=many", ["train.steps", "'many'", "an integer >= 1"]),
        ("objective.rank_loss=hinge", ["objective.rank_loss", "'hinge'", "listmle, listnet"]),
        ("objective.on_text=[rank,hinge]", ["objective.on_text", "dropout_consistency"]),
        ("teachers.text.7.weight=1", ["teachers.text", "2 elements"]),
        ("data.pair_every=0", ["data.pair_every", "integer >= 1", "auto", "null"]),
        ("data.pair_every=null", ["grounding_image", "data.pair_every is null"]),
        ("teachers.text=[]", ["needs a text teacher", "teachers.text"]),
        ("train.accumulate=1000", ["train.accumulate", "train.batch_size"]),
        ("objective.temperature", ["expected key=value"]),
        ("model=[", ["not valid YAML"]),
    ],
)
def test_bad_overrides_are_one_clear_line(text: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        override(text)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_eta_without_the_consistency_task_is_refused() -> None:
    with pytest.raises(InputError, match=r"objective\.eta"):
        with_overrides(load_recipe("dalr"), {"objective.eta": 0.3, "objective.weights.consistency": 0.0})


def test_both_lengths_are_refused() -> None:
    with pytest.raises(InputError, match=r"exactly one of train\.steps and train\.epochs"):
        with_overrides(load_recipe("dalr"), {"train.steps": 5, "train.epochs": 5})


def test_steps_replace_epochs() -> None:
    config = override("train.steps=7")
    assert (config.train.steps, config.train.epochs) == (7, None)
    assert with_overrides(config, {"train.epochs": 2}).train.steps is None


def test_scientific_notation_is_a_number() -> None:
    assert override("optim.learning_rate=1e-3").optim.learning_rate == 0.001


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("dalr").train.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_writing_and_reading(name: str, tmp_path: Path) -> None:
    config = with_absolute_paths(load_recipe(name))
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert read_config(path) == config


@pytest.mark.parametrize(
    ("text", "words"),
    [("- 1", "expected the keys"), ("model: [", "not valid YAML"), ("train: {step: 3}", "unknown key train.step")],
)
def test_a_bad_config_file_is_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean simcse"):
        load_recipe("simsce")


def test_the_presets_are_the_published_settings() -> None:
    dalr = PRESETS["dalr"]
    assert (dalr.cross_modal, dalr.intra_modal, dalr.margin_text, dalr.margin_vl) == (0.1, 0.2, 0.18, 0.18)
    assert yaml.safe_load(to_yaml(load_recipe("dalr")))["objective"]["weights"] == {
        "grounding_image": 1.0,
        "grounding_text": 0.0,
        "consistency": 0.01,
        "cross_alignment": 1.0,
        "intra_alignment": 1.0,
        "rank": 1.0,
        "local_global": 1.0,
        "dropout_consistency": 0.0,
    }
    paper = PRESETS["dalr_paper"].weights
    assert (paper.grounding_image, paper.consistency, paper.local_global) == (0.0, 1.0, 0.0)
    assert (PRESETS["mcse"].cross_modal, PRESETS["kdmcse"].cross_modal) == (0.01, 0.01)
    assert PRESETS["kdmcse"].margin_vl == 0.15
    assert PRESETS["rankcse"].on_text == ("rank", "dropout_consistency")
    for name, rate, batch, epochs in [
        ("dalr", 2e-5, 128, 4),
        ("dalr_coco", 1e-5, 128, 3),
        ("simcse", 3e-5, 64, 3),
        ("kdmcse_coco", 3e-5, 64, 3),
        ("rankcse", 3e-5, 128, 1),
    ]:
        config = load_recipe(name)
        assert (config.optim.learning_rate, config.train.batch_size, config.train.epochs) == (rate, batch, epochs)
