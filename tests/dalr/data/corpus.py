"""A tiny corpus on disk, and a config that trains the tiny encoder on it."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from dalr.config.overrides import with_overrides
from dalr.config.recipes import PRESETS
from dalr.config.schema import RunConfig

IMAGES, CAPTIONS_EACH, SENTENCES, WIDTH = 10, 3, 47, 8
WHO, WHAT, WHERE = (
    ("a man", "the dog", "two girls", "a small cat"),
    ("runs", "plays", "sits"),
    ("in the park", "", "on a ball"),
)


def write_corpus(folder: Path) -> None:
    """`text.txt`, `captions.csv`, `images.npy` with `ids.txt` (in another order than the captions')."""
    folder.mkdir(parents=True, exist_ok=True)
    sentences = [" ".join(words).strip() for words in itertools.product(WHO, WHAT, WHERE)]
    sentences += [f"{sentence} and sees {number}" for number, sentence in enumerate(sentences)]
    (folder / "text.txt").write_text("\n".join(sentences[:SENTENCES]) + "\n")
    rows = [
        f"{i}.jpg,{sentences[(i * CAPTIONS_EACH + j) % 40]} {i}" for i in range(IMAGES) for j in range(CAPTIONS_EACH)
    ]
    (folder / "captions.csv").write_text("image,caption\n" + "\n".join(rows) + "\n")
    features = np.random.default_rng(0).normal(size=(IMAGES + 2, WIDTH)).astype(np.float16)
    np.save(folder / "images.npy", features)
    (folder / "ids.txt").write_text("\n".join(f"{i}.jpg" for i in reversed(range(IMAGES + 2))) + "\n")


def tiny_config(folder: Path, model: Path, **overrides: Any) -> RunConfig:
    """DALR on the corpus in `folder` with `model` as student and as the one teacher; keys of
    `overrides` have `__` for a dot."""
    preset = RunConfig().model_copy(update={"objective": PRESETS["dalr"]}).dump()
    preset["model"] |= {"student": str(model), "pooler": "avg", "max_tokens": 12}
    preset["teachers"]["text"] = [{"model": str(model), "pooler": "avg", "weight": 1.0}]
    preset["train"] |= {"steps": 5, "epochs": None, "batch_size": 4}
    paths = {"text": "text.txt", "captions": "captions.csv", "image_features": "images.npy", "image_ids": "ids.txt"}
    preset["data"] |= {key: str(folder / name) for key, name in paths.items()} | {"store": str(folder / "store")}
    config = RunConfig.model_validate(preset)
    return with_overrides(config, {key.replace("__", "."): value for key, value in overrides.items()})
