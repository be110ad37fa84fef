"""Small runs of every published objective, of one with every option that none of them sets, and of settings that
change what a step asks of its device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dalr.config.recipes import PRESETS
from dalr.config.schema import ObjectiveConfig, RunConfig
from dalr.extensions import load
from dalr.losses.terms import TERMS
from tests.small_run import CAPTIONS_EACH, IMAGES, WIDTH, small_config
from tests.tiny import write_tiny_bert, write_tiny_roberta
from tests.user_module import write_module

EVERYTHING = ObjectiveConfig(
    **PRESETS["dalr"].model_dump()
    | {
        "rank_loss": "listnet",
        "eta": 0.5,
        "threshold": 1.0,
        "token_norm": "token",
        "on_text": ("intra_alignment", "rank", "local_global", "dropout_consistency"),
        "weights": dict.fromkeys(TERMS, 1.0),
    }
)
OBJECTIVES: dict[str, ObjectiveConfig] = {**PRESETS, "everything": EVERYTHING}


def config_for(objective: str, corpora: Path, tiny_bert: Path, **changes: Any) -> RunConfig:
    """The small run with one of `OBJECTIVES`: a text and a paired batch in turn; features of captions lie ready."""
    features = corpora / "caption_features.npy"
    if not features.exists():
        random = np.random.default_rng(1)
        np.save(features, random.normal(size=(IMAGES * CAPTIONS_EACH, WIDTH)).astype(np.float16))
    terms = OBJECTIVES[objective].model_dump(mode="json")
    return small_config(corpora, tiny_bert, data__caption_features=str(features), objective=terms, **changes)


Variants = Callable[..., RunConfig]
"""An option's name, and changes: the config of a small run of `dalr` with both."""

OPTIONS: dict[str, dict[str, Any]] = {
    "one part": {},
    "groups of length": {"train__length_groups": 4},
    "parts and groups": {"train__length_groups": 2, "train__accumulate": 2},
    "packed": {"train__length_groups": "packed", "train__accumulate": 2},
    "packed RoBERTa": {"train__length_groups": "packed", "model__student": "roberta"},
    "the first token": {"model__pooler": "cls_before_pooler"},
    "activation checkpointing": {"train__activation_checkpointing": True, "model__dropout": 0.1},
    "RoBERTa": {"model__student": "roberta"},
    "teachers of two widths": {"teachers__text": ["tiny", "wide"], "objective__weights__local_global": 0},
    "a listwise loss of the ranks": {"objective__rank_loss": "listnet"},
    "a user's term": {"objective__weights__spread": 0.5},
    "no bound on the gradient": {"optim__clip_norm": None},
}


def variant(option: str, corpora: Path, tiny_bert: Path, folder: Path, **changes: Any) -> RunConfig:
    """The config of one of `OPTIONS`; its models and its module are written into `folder`."""
    values = {**OPTIONS[option], "data__store": str(folder / "features"), **changes}
    if "RoBERTa" in option:
        write_tiny_roberta(folder / "roberta")
        values["model__student"] = str(folder / "roberta")
    if option == "teachers of two widths":
        write_tiny_bert(folder / "wide", width=48)
        values["teachers__text"] = [{"model": str(path), "pooler": "avg"} for path in (tiny_bert, folder / "wide")]
    if option == "a user's term":
        load(write_module(folder / "mine"))
    return config_for("dalr", corpora, tiny_bert, **values)
