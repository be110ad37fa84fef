"""Small runs of every published objective, and of one with every option that none of them sets."""

from pathlib import Path
from typing import Any

import numpy as np

from dalr.config.recipes import PRESETS
from dalr.config.schema import ObjectiveConfig, RunConfig
from dalr.losses.terms import TERMS
from tests.small_run import CAPTIONS_EACH, IMAGES, WIDTH, small_config

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
