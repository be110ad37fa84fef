"""The corpora and the config of a run that takes seconds, for tests of training in one process and on Ray."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from dalr.config.loading import load_recipe
from dalr.config.overrides import with_absolute_paths, with_overrides
from dalr.config.schema import RunConfig
from dalr.files import sha256_of
from tests.tiny import WORDS

IMAGES, CAPTIONS_EACH, SENTENCES, PAIRS, WIDTH = 20, 3, 80, 40, 12


def write_corpora(folder: Path, random: np.random.Generator) -> None:
    """Writes sentences, captions, image features of another width than the student's, and STS-B dev."""

    def sentence() -> str:
        return " ".join(random.choice(WORDS, size=random.integers(3, 12)))

    folder.joinpath("sentences.txt").write_text("".join(f"{sentence()}\n" for _ in range(SENTENCES)))
    ids = [f"{i}.jpg" for i in range(IMAGES)]
    folder.joinpath("image_ids.txt").write_text("".join(f"{name}\n" for name in ids))
    with folder.joinpath("captions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        writer.writerows([name, sentence()] for name in ids for _ in range(CAPTIONS_EACH))
    np.save(folder / "images.npy", random.normal(size=(IMAGES, WIDTH)).astype(np.float16))
    dev = folder / "senteval" / "downstream" / "STS" / "STSBenchmark" / "sts-dev.csv"
    dev.parent.mkdir(parents=True)
    rows = [f"genre\tfile\t2017\t{i}\t{random.uniform(0, 5):.2f}\t{sentence()}\t{sentence()}\n" for i in range(PAIRS)]
    dev.write_text("".join(rows))
    files = {str(dev.relative_to(folder / "senteval")): {"rows": PAIRS, "sha256": sha256_of(dev)}}
    manifest = {"schema": 1, "name": "test", "files": files}
    (folder / "senteval" / "manifest.json").write_text(json.dumps(manifest))


def small_config(corpora: Path, tiny_bert: Path, **changes: Any) -> RunConfig:
    """The config; `changes` are overrides with `__` for the dots."""
    overrides = {
        "model.student": str(tiny_bert),
        "model.pooler": "avg",
        "model.max_tokens": 16,
        "model.projection_dim": 8,
        "data.text": str(corpora / "sentences.txt"),
        "data.captions": str(corpora / "captions.csv"),
        "data.image_features": str(corpora / "images.npy"),
        "data.image_ids": str(corpora / "image_ids.txt"),
        "data.store": str(corpora / "features"),
        "data.pair_every": 2,
        "evaluation.data": str(corpora / "senteval"),
        "teachers.text": [{"model": str(tiny_bert), "pooler": "avg"}],
        "teachers.image": None,
        "optim.learning_rate": 1e-3,
        "train.steps": 8,
        "train.batch_size": 8,
        "train.eval_every": 3,
        "train.checkpoint_every": 3,
    }
    overrides |= {key.replace("__", "."): value for key, value in changes.items()}
    return with_absolute_paths(with_overrides(load_recipe("dalr"), overrides))
