"""Image-text retrieval through a run's grounding heads, as MCSE and DALR report it.

A caption's vector is G_t h, an image's G_v v; they are compared by cosine. For each image, its captions
are looked for among those of all images; for each caption, its image among all images. A rank is 1 plus
the number of wrong answers with a higher cosine than the best right one; an equal cosine counts half, so
that a model that gives all the same vector is at chance.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from dalr.checksums import checksum_of
from dalr.config.loading import read_config
from dalr.config.overrides import with_absolute_paths, with_overrides
from dalr.config.schema import RunConfig
from dalr.data.corpora.caption_json import NoSplits
from dalr.data.corpora.sources import Captions, read_captions
from dalr.data.features.prepare import image_features
from dalr.data.rows import Rows
from dalr.errors import InputError, argument
from dalr.evaluation.encoder import SentenceEncoder
from dalr.evaluation.run import merge
from dalr.losses.heads import GroundingHead
from dalr.model.student import HEADS
from dalr.reading import reading
from dalr.results import RETRIEVAL, Provenance, Recall, Result, Retrieval, TaskRecord, TaskScore

CAPTIONS_EACH = 5
"""Captions of an image that count, the first ones; some of COCO's have more."""

CHUNK = 512
"""Queries whose cosines with all targets are in memory at once."""

DIGITS = 10
"""Decimals of a cosine: with fewer than float64 has, a chunk's size cannot decide between equal vectors."""

Vectors = NDArray[np.float64]


def ranks(
    queries: Vectors, targets: Vectors, query_image: NDArray[np.int64], target_image: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The rank of each query's best right target: float64 [Q], 1 or more.

    Args:
        queries: unit vectors [Q, P].
        targets: unit vectors [T, P].
        query_image: the image of each query [Q].
        target_image: the image of each target [T]; a target is right where it equals the query's.
    """
    parts = []
    for start in range(0, len(queries), CHUNK):
        part = slice(start, start + CHUNK)
        cosines = np.round(queries[part] @ targets.T, DIGITS)
        right = query_image[part, None] == target_image
        best = np.where(right, cosines, -np.inf).max(1, keepdims=True)
        wrong = np.where(right, -np.inf, cosines)
        parts.append(1 + (wrong > best).sum(1) + (wrong == best).sum(1) / 2)
    return np.concatenate(parts)


def recall_of(rank: NDArray[np.float64]) -> Recall:
    """R@1, 5 and 10 in percent, and the median rank."""
    within = {f"r{k}": 100 * float(np.mean(rank <= k)) for k in (1, 5, 10)}
    return Recall(**within, median_rank=float(np.median(rank)))


def score_retrieval(
    texts: Vectors, images: Vectors, image_of_caption: NDArray[np.int64], *, folds: int = 1
) -> Retrieval:
    """Both directions over all images, or the mean over `folds` equal parts of them, in their order.

    Args:
        texts: the captions' vectors [N, P], of any length.
        images: the images' vectors [M, P], likewise.
        image_of_caption: the row in `images` of each caption [N].

    Raises:
        InputError: vectors that are not finite or zero; fewer than two images a fold.
    """
    texts, images = _unit(texts, "caption"), _unit(images, "image")
    if len(images) < 2 * folds:
        raise InputError(f"retrieval: {len(images)} images for {folds} folds; expected two or more in each")
    to_text, to_image = [], []
    for rows in np.array_split(np.arange(len(images)), folds):
        of_fold = np.isin(image_of_caption, rows)
        fold_texts, fold_image = texts[of_fold], image_of_caption[of_fold]
        to_text.append(recall_of(ranks(images[rows], fold_texts, rows, fold_image)))
        to_image.append(recall_of(ranks(fold_texts, images[rows], fold_image, rows)))
    return Retrieval(
        images=len(images),
        captions=len(texts),
        folds=folds,
        image_to_text=_mean(to_text),
        text_to_image=_mean(to_image),
    )


def _mean(recalls: list[Recall]) -> Recall:
    return Recall(
        **{name: float(np.mean([getattr(recall, name) for recall in recalls])) for name in Recall.model_fields}
    )


def _unit(vectors: Vectors, what: str) -> Vectors:
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        row = int(np.argmin(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
        raise InputError(f"retrieval: the vector of {what} {row} is zero or not finite")
    return vectors / lengths


def first_captions(captions: Captions, count: int = CAPTIONS_EACH) -> NDArray[np.int64]:
    """The rows of the first `count` captions of each image, in their order."""
    seen = np.zeros(len(captions.image_ids), np.int64)
    rows = []
    for row, image in enumerate(captions.image_of_caption):
        seen[image] += 1
        if seen[image] <= count:
            rows.append(row)
    return np.asarray(rows, np.int64)


def read_heads(folder: Path) -> tuple[GroundingHead, GroundingHead]:
    """G_t and G_v of an exported model.

    Raises:
        InputError: the folder has no heads, or its run trained no grounding of images.
    """
    path = folder / HEADS
    if not path.is_file():
        raise InputError(f"retrieval: {folder} has no {HEADS}; expected a run whose model this version exported")
    with reading(path, "retrieval", "a file of heads"):
        tensors = load_file(path)
        heads = []
        for name in ("ground_text", "ground_image"):
            own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            if not own:
                raise InputError(
                    f"retrieval: {path} has no {name}: the run trained no grounding of images "
                    "(objective.weights.grounding_image is 0)"
                )
            width, projection = own["0.weight"].shape[1], own["0.weight"].shape[0]
            head = GroundingHead(width, projection)
            head.load_state_dict(own)
            heads.append(head.eval())
    return heads[0], heads[1]


def read_data(config: RunConfig, split: str | None, *, quiet: bool = False) -> tuple[Captions, Rows, str]:
    """The captions that `config.data` names, their images' features [M, V], and the split that they are:
    that asked for, else `test` of Karpathy's layout, else `all`.

    Raises:
        InputError: a file that is missing or malformed, or a split that the captions' layout does not have.
    """
    config = with_absolute_paths(config)
    if config.data.captions is None:
        raise InputError(f"retrieval: the run's config names no captions; give {argument('captions')}")
    store = Path(config.data.store) if config.data.store else None
    try:
        captions, chosen = read_captions(config.data.captions, store, split=split or "test"), split or "test"
    except NoSplits:
        if split is not None:
            raise
        captions, chosen = read_captions(config.data.captions, store), "all"
    return captions, image_features(config, captions, quiet=quiet), chosen


def ground_and_score(
    encode: Callable[[list[str]], NDArray[np.float32]],
    heads: tuple[GroundingHead, GroundingHead],
    captions: Captions,
    images: Rows,
    *,
    folds: int = 1,
) -> Retrieval:
    """Encodes the captions (`encode` gives h [n, D] of n captions), puts both sides through their heads, ranks."""
    width = heads[1][0].in_features
    if images.shape[1] != width:
        raise InputError(f"retrieval: the images' features are {images.shape[1]} wide, those of the run were {width}")
    rows = first_captions(captions)
    with torch.inference_mode():
        pooled = np.asarray(encode([captions.captions[row] for row in rows]), np.float32)
        texts = heads[0](torch.from_numpy(pooled)).double().numpy()
        features = images.rows(np.arange(images.shape[0])).astype(np.float32)
        pictures = heads[1](torch.from_numpy(features)).double().numpy()
    return score_retrieval(texts, pictures, captions.image_of_caption[rows], folds=folds)


def evaluate_retrieval(
    run: Path,
    overrides: Mapping[str, str],
    *,
    split: str | None = None,
    folds: int = 1,
    provenance: Provenance | None = None,
    name: str = "",
    quiet: bool = True,
) -> Result:
    """Retrieval of a run's exported model on the captions and features of its config, or on those that
    `overrides` put in their place.

    Raises:
        InputError: `run` is no run's folder or trained no grounding heads; data that is not right.
    """
    began = time.perf_counter()
    run = run.parent if run.name == "model" else run
    if not (run / "config.yaml").is_file():
        raise InputError(f"retrieval: {run} has no config.yaml; expected a run's folder, which has the trained heads")
    config = with_absolute_paths(with_overrides(read_config(run / "config.yaml"), overrides))
    heads = read_heads(run / "model")
    captions, images, chosen = read_data(config, split, quiet=quiet)
    encoder = SentenceEncoder.load(str(run / "model"))
    scores = ground_and_score(encoder.encode, heads, captions, images, folds=folds)
    recalls = [getattr(way, key) for way in (scores.image_to_text, scores.text_to_image) for key in ("r1", "r5", "r10")]
    files = [Path(path) for path in (config.data.captions, config.data.image_features, config.data.image_ids) if path]
    record = TaskRecord(
        task=RETRIEVAL,
        protocol="test",
        fingerprint=encoder.fingerprint(),
        score=TaskScore(
            score=float(np.mean(recalls)),
            n=scores.captions,
            split=chosen,
            retrieval=scores,
            seconds=round(time.perf_counter() - began, 3),
        ),
        data={file.name: checksum_of(file) for file in (*files, run / "model" / HEADS) if file.is_file()},
    )
    return merge([record], model=name or str(run), pooler=encoder.pooler, protocol="test", provenance=provenance)
