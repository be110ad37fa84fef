"""Retrieval's ranks are those of the plain loop, whatever the chunk; heads without training are at chance."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dalr.__main__ import main
from dalr.config.loading import read_config
from dalr.data.corpora.sources import captions_of, read_captions
from dalr.errors import InputError
from dalr.evaluation import retrieval
from dalr.evaluation.retrieval import first_captions, ground_and_score, ranks, read_heads, score_retrieval
from dalr.losses.heads import GroundingHead
from dalr.results import read_result
from dalr.training.loop import train


def plain_ranks(queries: np.ndarray, targets: np.ndarray, query_image: np.ndarray, target_image: np.ndarray) -> list:
    """The oracle: one query after the other, by sorting."""
    found = []
    for vector, image in zip(queries, query_image, strict=True):
        cosines = [round(float(vector @ target), 10) for target in targets]
        best = max(cosine for cosine, other in zip(cosines, target_image, strict=True) if other == image)
        wrong = [cosine for cosine, other in zip(cosines, target_image, strict=True) if other != image]
        found.append(1 + sum(cosine > best for cosine in wrong) + sum(cosine == best for cosine in wrong) / 2)
    return found


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def space() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of 40 images and 160 captions, some of them equal, in an order that mixes the images."""
    draw = np.random.default_rng(0)
    images = unit(draw.normal(size=(40, 6)))
    image_of_caption = draw.permutation(np.repeat(np.arange(40), 4))
    texts = unit(images[image_of_caption] + draw.normal(size=(160, 6)))
    texts[10:20] = texts[0]
    images[7] = images[8]
    return texts, images, image_of_caption


@pytest.mark.parametrize("chunk", [1, 7, 40, 512])
def test_ranks_are_the_plain_loops_whatever_the_chunk(
    space: tuple[np.ndarray, np.ndarray, np.ndarray], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, images, image_of_caption = space
    monkeypatch.setattr(retrieval, "CHUNK", chunk)
    to_image = ranks(texts, images, image_of_caption, np.arange(40))
    assert to_image.tolist() == plain_ranks(texts, images, image_of_caption, np.arange(40))
    assert (to_image % 1).any()  # there are ties
    to_text = ranks(images, texts, np.arange(40), image_of_caption)
    assert to_text.tolist() == plain_ranks(images, texts, np.arange(40), image_of_caption)


def test_scores_are_made_of_the_ranks(space: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    texts, images, image_of_caption = space
    scores = score_retrieval(3 * texts, images / 2, image_of_caption)
    expected = np.asarray(plain_ranks(texts, images, image_of_caption, np.arange(40)))
    assert scores.text_to_image.r5 == 100 * np.mean(expected <= 5)
    assert scores.text_to_image.median_rank == np.median(expected)
    assert (scores.images, scores.captions, scores.folds) == (40, 160, 1)
    halves = score_retrieval(texts, images, image_of_caption, folds=2)
    parts = []
    for rows in (np.arange(20), np.arange(20, 40)):
        own = np.isin(image_of_caption, rows)
        parts.append(score_retrieval(texts[own], images[rows], image_of_caption[own] - rows[0]))
    assert halves.image_to_text.r1 == np.mean([part.image_to_text.r1 for part in parts])
    assert halves.text_to_image.median_rank == np.mean([part.text_to_image.median_rank for part in parts])


def test_perfect_and_collapsed_vectors() -> None:
    images, image_of_caption = np.eye(30), np.repeat(np.arange(30), 5)
    perfect = score_retrieval(images[image_of_caption], images, image_of_caption)
    assert perfect.image_to_text.r1 == perfect.text_to_image.r1 == 100
    assert perfect.image_to_text.median_rank == 1
    same = score_retrieval(np.ones((150, 30)), np.ones((30, 30)), image_of_caption)
    assert same.text_to_image.r10 == 0  # everybody is in the middle, nobody first
    assert same.text_to_image.median_rank == 15.5
    for wrong in (np.zeros((150, 30)), np.full((150, 30), np.nan)):
        with pytest.raises(InputError, match="the vector of caption 0 is zero or not finite"):
            score_retrieval(wrong, images, image_of_caption)


def test_the_first_five_captions_of_an_image_count() -> None:
    pairs = [("a", f"a{number}") for number in range(7)] + [("b", "b0")]
    assert first_captions(captions_of(pairs, Path("x"))).tolist() == [0, 1, 2, 3, 4, 7]


def test_heads_without_training_are_at_chance(real_data: Path) -> None:
    """Flickr8k's first 1,000 images and their 5,000 captions: at 10, chance is 1 % in both directions."""
    everything = read_captions(real_data / "flickr8k" / "captions.csv")
    captions = captions_of(
        [
            (everything.image_ids[image], text)
            for image, text in zip(everything.image_of_caption, everything.captions, strict=True)
            if image < 1000
        ],
        real_data,
    )
    ids = (real_data / "flickr8k" / "image_ids.txt").read_text().split()
    rows = [ids.index(name) for name in captions.image_ids]
    features = np.load(real_data / "flickr8k" / "image_features.f16.npy")[rows].astype(np.float32)
    torch.manual_seed(0)
    heads = GroundingHead(64, 32).eval(), GroundingHead(features.shape[1], 32).eval()

    class Images:
        shape = features.shape

        def rows(self, index: np.ndarray) -> np.ndarray:
            return features[index]

    draw = np.random.default_rng(0)
    scores = ground_and_score(lambda texts: draw.normal(size=(len(texts), 64)), heads, captions, Images())
    assert (scores.images, scores.captions) == (1000, 5000)
    # The vectors of texts say nothing of the images.
    assert scores.text_to_image.r10 < 2
    assert 300 < scores.text_to_image.median_rank < 700
    assert scores.image_to_text.r10 < 3
    assert scores.image_to_text.median_rank > 200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, corpora: Path, tiny_bert: Path) -> Path:
    from dalr.config.overrides import with_overrides
    from tests.small_run import small_config

    folder = tmp_path_factory.mktemp("retrieval") / "run"
    train(with_overrides(small_config(corpora, tiny_bert), {"train.steps": 3}), folder, quiet=True)
    return folder


def evaluate(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dalr", "evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command_takes_from_the_run_what_is_left_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ranks.json"
    assert evaluate(monkeypatch, run, "--tasks", "retrieval", "--out", out) == 0
    assert "text to image" in capsys.readouterr().out
    result = read_result(out)
    score = result.tasks["Retrieval"]
    assert score.retrieval is not None
    assert score.retrieval.images == 20
    assert score.split == "all"
    assert set(result.provenance.data) == {"captions.csv", "images.npy", "image_ids.txt", "heads.safetensors"}
    captions = read_captions(str(read_config(run / "config.yaml").data.captions))
    images = [
        {"filename": name, "split": "test" if row < 6 else "train", "sentences": [{"raw": f"a dog {row}"}]}
        for row, name in enumerate(captions.image_ids)
    ]
    (tmp_path / "karpathy.json").write_text(json.dumps({"images": images}))
    words = ["--tasks", "retrieval", "--captions", tmp_path / "karpathy.json", "--out", out]
    assert evaluate(monkeypatch, run / "model", *words) == 0
    assert (read_result(out).tasks["Retrieval"].n, read_result(out).tasks["Retrieval"].split) == (6, "test")
    assert evaluate(monkeypatch, run, *words, "--split", "train") == 0
    assert read_result(out).tasks["Retrieval"].n == 14


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "retrieval", "--split", "val"], "has no splits, so none is named 'val'"),
        (["--tasks", "retrieval", "--captions", "none.csv"], "no such file"),
        (["--tasks", "sts", "--split", "val"], "go with --tasks retrieval"),
    ],
)
def test_what_cannot_be_is_one_line(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list,
    message: str,
) -> None:
    assert evaluate(monkeypatch, run, *words, "--out", tmp_path / "r.json") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


def test_a_model_without_heads_is_named(run: Path, tmp_path: Path, tiny_bert: Path) -> None:
    with pytest.raises(InputError, match=r"has no heads\.safetensors"):
        read_heads(tiny_bert)
    from safetensors.torch import save_file

    save_file({"map_image.linear.weight": torch.ones(2, 2)}, tmp_path / "heads.safetensors")
    with pytest.raises(InputError, match="trained no grounding of images"):
        read_heads(tmp_path)


def test_the_exported_folder_still_loads(run: Path) -> None:
    from transformers import AutoModel

    _, about = AutoModel.from_pretrained(run / "model", output_loading_info=True)
    assert not about["missing_keys"]
    assert not about["unexpected_keys"]
