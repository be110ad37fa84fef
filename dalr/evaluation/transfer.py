"""Transfer tasks: logistic regression on frozen vectors, with SentEval's folds and choices."""

from dataclasses import dataclass

import numpy as np

from dalr.errors import InputError
from dalr.evaluation.classifier import L2_GRID, SETTINGS, Examples, Settings, fit_folds
from dalr.evaluation.folds import Fold, stratified_folds, with_random_dev
from dalr.evaluation.labelled import LabelledSplit, read_labelled
from dalr.evaluation.readers import DataFolder
from dalr.evaluation.tasks import TransferTask
from dalr.evaluation.vectors import EncodedSentences
from dalr.results import Protocol, TaskScore


@dataclass(frozen=True)
class TransferScores:
    """A scored task. `correct`: bool [n], whether each scored example is classified right, in the
    order of the task's files; None under protocol `dev`, which scores no example of its own."""

    score: TaskScore
    correct: np.ndarray | None


def read_splits(folder: DataFolder, task: TransferTask, protocol: Protocol) -> dict[str, LabelledSplit]:
    """The splits that the protocol reads: `dev` leaves the test split alone."""
    names = [split for split in task.splits if not (protocol == "dev" and split == "test")]
    splits = {split: read_labelled(folder, task, split) for split in names}
    if task.scheme != "split":
        _enough_for_folds(folder, task, next(iter(splits.values())), SETTINGS[protocol].folds)
    return splits


def _enough_for_folds(folder: DataFolder, task: TransferTask, split: LabelledSplit, folds: int) -> None:
    """Every class must have an example in every fold, also where an outer fold is left out: of folds + 2
    examples the fullest fold has two."""
    counts = np.bincount(split.labels, minlength=len(task.classes))
    smallest = int(np.where(counts > 0, counts, counts.max()).argmin())
    needed = folds + 2 if task.scheme == "nested" else folds
    if counts[smallest] < needed:
        raise InputError(
            f"{folder.root / task.splits[next(iter(task.splits))][0].file.path}: class {task.classes[smallest]!r} of "
            f"{task.name} has {counts[smallest]} examples; {folds} folds need {needed}"
        )


def sentences_of(splits: dict[str, LabelledSplit]) -> list[str]:
    """Every sentence of the splits, repetitions included."""
    return [sentence for split in splits.values() for column in split.sentences for sentence in column]


def features_of(split: LabelledSplit, vectors: EncodedSentences) -> np.ndarray:
    """float32 [n, D], or [n, 2D] for pairs: [|u-v|, u*v]."""
    columns = [vectors.of(column) for column in split.sentences]
    if len(columns) == 1:
        return columns[0]
    u, v = columns
    return np.concatenate([np.abs(u - v), u * v], axis=1)


def score_transfer(
    task: TransferTask,
    splits: dict[str, LabelledSplit],
    vectors: EncodedSentences,
    protocol: Protocol,
    device: str = "cpu",
) -> TransferScores:
    """Scores a task as the toolkit does; accuracies are in percent, rounded to 2 digits where the
    toolkit rounds them."""
    vectors.add(sentences_of(splits))
    features = np.concatenate([features_of(split, vectors) for split in splits.values()])
    labels = np.concatenate([split.labels for split in splits.values()])
    examples = Examples(features, labels, len(task.classes), device)
    settings = SETTINGS[protocol]
    if task.scheme == "nested":
        return _nested(splits["all"], examples, settings, protocol)
    return _held_out(task, splits, examples, settings, protocol)


def _grid(folds: int) -> np.ndarray:
    return np.tile(np.array(L2_GRID), (folds, 1))


def _percent(fractions: np.ndarray, axis: int) -> np.ndarray:
    """Mean fractions as percent with 2 digits: what the toolkit compares and prints."""
    return np.round(100 * fractions.mean(axis), 2)


def _nested(split: LabelledSplit, examples: Examples, settings: Settings, protocol: Protocol) -> TransferScores:
    """Cross-validation inside cross-validation: MR, CR, SUBJ, MPQA."""
    outer = stratified_folds(split.labels, settings.folds)
    inner = [
        Fold(train=train[part], dev=train[held])
        for train, _ in outer
        for part, held in stratified_folds(split.labels[train], settings.folds)
    ]
    scan = fit_folds(examples, inner, _grid(len(inner)), settings).accuracy
    means = _percent(scan.reshape(len(outer), settings.folds, -1), axis=1)  # [outer folds, strengths]
    devacc = round(float(np.mean(means.max(1))), 2)
    if protocol == "dev":
        return TransferScores(TaskScore(score=devacc, n=len(split), split="dev", devacc=devacc), None)
    chosen = np.array(L2_GRID)[means.argmax(1)][:, None]
    refits = fit_folds(examples, [with_random_dev(train) for train, _ in outer], chosen, settings)
    correct = np.zeros(len(split), dtype=bool)
    accuracies = []
    for weights, (_, test) in zip(refits.weights, outer, strict=True):
        hits = examples.correct(weights, test)[0].cpu().numpy()
        correct[split.places[test]] = hits
        accuracies.append(round(100 * float(hits.mean()), 2))
    acc = round(float(np.mean(accuracies)), 2)
    return TransferScores(TaskScore(score=acc, n=len(split), acc=acc, devacc=devacc), correct)


def _held_out(
    task: TransferTask,
    splits: dict[str, LabelledSplit],
    examples: Examples,
    settings: Settings,
    protocol: Protocol,
) -> TransferScores:
    """A strength chosen by cross-validation on `train` (TREC, MRPC) or on `dev` (SST2), then `test`."""
    rows = _rows(splits)
    if task.scheme == "kfold":
        parts = stratified_folds(splits["train"].labels, settings.folds)
        folds = [Fold(train=train, dev=held) for train, held in parts]
    else:
        folds = [Fold(train=rows["train"], dev=rows["dev"])]
    scan = fit_folds(examples, folds, _grid(len(folds)), settings)
    means = _percent(scan.accuracy, axis=0)  # [strengths]
    devacc, best = float(means.max()), int(means.argmax())
    seen = len(splits["train"] if task.scheme == "kfold" else splits["dev"])
    if protocol == "dev":
        return TransferScores(TaskScore(score=devacc, n=seen, split="dev", devacc=devacc), None)
    if task.scheme == "kfold":
        strength = np.array([[L2_GRID[best]]])
        weights = fit_folds(examples, [with_random_dev(rows["train"])], strength, settings).weights[0]
    else:
        weights = scan.weights[0, best : best + 1]  # the toolkit repeats this very fit
    test = splits["test"]
    predicted = examples.predict(weights, rows["test"])[0].cpu().numpy()
    hits = predicted == test.labels
    acc = round(100 * float(hits.mean()), 2)
    correct = np.zeros(len(test), dtype=bool)
    correct[test.places] = hits
    f1 = f1_percent(test.labels, predicted) if task.f1 else None
    return TransferScores(TaskScore(score=acc, n=len(test), acc=acc, devacc=devacc, f1=f1), correct)


def _rows(splits: dict[str, LabelledSplit]) -> dict[str, np.ndarray]:
    """Where each split's examples are among all of the task's."""
    ends = np.cumsum([len(split) for split in splits.values()])
    return {name: np.arange(end - len(splits[name]), end) for name, end in zip(splits, ends, strict=True)}


def f1_percent(labels: np.ndarray, predicted: np.ndarray) -> float:
    """F1 of class 1 in percent, 2 digits; 0 where no example is, or is called, class 1."""
    both = int(((labels == 1) & (predicted == 1)).sum())
    called, there = int((predicted == 1).sum()), int((labels == 1).sum())
    return round(100 * 2 * both / (called + there), 2) if called + there else 0.0
