"""The recipes against the published settings (`docs/fidelity.md` has their sources)."""

import pytest
import yaml

from dalr.config.loading import load_recipe
from dalr.config.overrides import with_overrides
from dalr.config.recipes import PRESETS, RECIPES
from dalr.config.schema import RunConfig
from tests import ROOT

SIMCSE = {"bert": "princeton-nlp/unsup-simcse-bert-base-uncased", "roberta": "princeton-nlp/unsup-simcse-roberta-base"}
DIFFCSE = {"bert": "voidism/diffcse-bert-base-uncased-sts", "roberta": "voidism/diffcse-roberta-base-sts"}
SETTINGS = {
    # rate, batch, epochs, pairs, images from
    "dalr": (2e-5, 128, 4, "caption", "clip"),
    "dalr_coco": (1e-5, 128, 3, "caption", "clip"),
    "dalr_paper": (2e-5, 128, 4, "caption", "clip"),
    "dalr_paper_coco": (1e-5, 128, 3, "caption", "clip"),
    "dalr_balanced": (2e-5, 128, 4, "caption", "clip"),
    "dalr_balanced_coco": (1e-5, 128, 3, "caption", "clip"),
    "simcse": (3e-5, 64, 3, "image", None),
    "simcse_coco": (3e-5, 64, 3, "image", None),
    "mcse": (3e-5, 64, 3, "image", "file"),
    "mcse_coco": (3e-5, 64, 3, "image", "file"),
    "kdmcse": (3e-5, 64, 3, "caption", "clip"),
    "kdmcse_coco": (3e-5, 64, 3, "caption", "clip"),
}


def published(name: str) -> str:
    return name.replace("_roberta", "")


def family(name: str) -> str:
    return "roberta" if "_roberta" in name else "bert"


def test_the_names() -> None:
    roberta = {f"{name}_roberta{corpus}" for name in ("dalr", "simcse", "mcse", "kdmcse") for corpus in ("", "_coco")}
    assert set(RECIPES) == {*SETTINGS, *roberta, "rankcse", "quickstart"}


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"rankcse", "quickstart"}))
def test_the_published_settings(name: str) -> None:
    config = RECIPES[name]()
    rate, batch, epochs, pairs, images = SETTINGS[published(name)]
    assert (config.optim.learning_rate, config.train.batch_size, config.train.epochs) == (rate, batch, epochs)
    assert (config.data.pairs, config.data.pair_every) == (pairs, "auto")
    assert (config.teachers.image is not None, config.data.image_features is not None) == (
        images == "clip",
        images == "file",
    )
    if config.teachers.image is not None:
        assert (config.teachers.image.model, config.teachers.image.weights) == ("ViT-L-14", "openai")
    assert ("coco" in str(config.data.captions)) == name.endswith("_coco")
    assert config.model.student == {"bert": "bert-base-uncased", "roberta": "roberta-base"}[family(name)]
    assert config.objective == PRESETS[published(name).removesuffix("_coco")]
    assert_common(config)


def test_the_balanced_constants_are_those_that_were_tested() -> None:
    arms = yaml.safe_load((ROOT / "docs/experiments/confirmation.yaml").read_text(encoding="utf-8"))["arms"]
    tested = {key: value for key, value in arms["balanced"].items() if key.startswith("objective.")}
    assert with_overrides(load_recipe("dalr"), tested).objective == PRESETS["dalr_balanced"]


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("dalr")])
def test_dalrs_teachers_are_of_the_students_family(name: str) -> None:
    teachers = RECIPES[name]().teachers.text
    assert [(teacher.model, teacher.weight, teacher.pooler) for teacher in teachers] == [
        (SIMCSE[family(name)], 0.33, "cls_before_pooler"),
        (DIFFCSE[family(name)], 0.67, "cls_before_pooler"),
    ]


def test_rankcse() -> None:
    config = RECIPES["rankcse"]()
    assert [(teacher.model, teacher.weight) for teacher in config.teachers.text] == [
        (DIFFCSE["bert"], 0.33),
        ("princeton-nlp/unsup-simcse-bert-large-uncased", 0.67),
    ]
    assert (config.optim.learning_rate, config.train.batch_size, config.train.epochs) == (3e-5, 128, 1)
    assert config.data.pair_every is None
    assert_common(config)


def assert_common(config: RunConfig) -> None:
    """32 tokens, linear decay, no warm-up, no weight decay, eps 1e-6, clip 1, STS-B dev every 125 steps, projection
    256."""
    optim, train, model = config.optim, config.train, config.model
    assert (optim.schedule, optim.warmup_steps, optim.weight_decay) == ("linear", 0, 0.0)
    assert (optim.eps, optim.clip_norm) == (1e-6, 1.0)
    assert (train.eval_every, config.evaluation.metric) == (125, "STSBenchmark.dev")
    assert (model.max_tokens, model.projection_dim, model.pooler) == (32, 256, "cls_before_pooler")
