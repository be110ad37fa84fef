"""The original toolkit's classifier, one fit at a time, as its protocol is written down: the oracle of
the batched one, and what it is measured against."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import nn

from dalr.evaluation.classifier import L2_GRID, Settings

SEED = 1111


@dataclass
class PlainFit:
    """A finished fit: its model, best dev accuracy, and the number of passes after which it was best."""

    model: nn.Module
    accuracy: float
    epoch: int
    steps: int

    def score(self, features: np.ndarray, labels: np.ndarray) -> float:
        return accuracy(self.model, torch.from_numpy(features), torch.from_numpy(labels))


def accuracy(model: nn.Module, features: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.no_grad():
        return (model(features).argmax(1) == labels).sum().item() / len(labels)


def plain_fit(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    l2: float,
    settings: Settings,
    dev: tuple[np.ndarray, np.ndarray] | None = None,
    max_passes: int = 200,
) -> PlainFit:
    """One fit: without `dev`, a random 5 % of the rows are kept for early stopping."""
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    model = nn.Linear(features.shape[1], classes)
    if dev is None:
        permutation = np.random.permutation(len(features))
        size = int(0.05 * len(features))
        held, kept = permutation[:size], permutation[size:]
        dev = features[held], labels[held]
        features, labels = features[kept], labels[kept]
    rate = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}[settings.optimizer]
    optimizer = rate(model.parameters(), weight_decay=l2)
    x, y, dev_x, dev_y = map(torch.from_numpy, (features, labels, *dev))
    best, best_model, best_epoch, misses, passes, steps = -1.0, model, 0, 0, 0, 0
    stop = False
    while not stop and passes <= max_passes:
        for _ in range(settings.epoch_size):
            order = np.random.permutation(len(x))
            for start in range(0, len(x), settings.batch_size):
                rows = torch.from_numpy(order[start : start + settings.batch_size])
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                steps += 1
        passes += settings.epoch_size
        found = accuracy(model, dev_x, dev_y)
        if found > best:
            best, best_model, best_epoch = found, copy.deepcopy(model), passes
        else:
            stop = misses >= settings.tenacity
            misses += 1
    return PlainFit(best_model, best, best_epoch, steps)


def plain_kfold(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], classes: int, settings: Settings
) -> tuple[float, float]:
    """(devacc, acc) of a task with a test split, by cross-validation on its training split."""
    x, y = train
    means = []
    for l2 in L2_GRID:
        folds = StratifiedKFold(settings.folds, shuffle=True, random_state=SEED).split(x, y)
        found = [plain_fit(x[a], y[a], classes, l2, settings, (x[b], y[b])).score(x[b], y[b]) for a, b in folds]
        means.append(round(100 * float(np.mean(found)), 2))
    chosen = L2_GRID[int(np.argmax(means))]
    return max(means), round(100 * plain_fit(x, y, classes, chosen, settings).score(*test), 2)


def plain_nested(x: np.ndarray, y: np.ndarray, classes: int, settings: Settings) -> tuple[float, float]:
    """(devacc, acc) of a task without splits, by cross-validation inside cross-validation."""
    devs, tests = [], []
    for a, b in StratifiedKFold(settings.folds, shuffle=True, random_state=SEED).split(x, y):
        inner_x, inner_y, means = x[a], y[a], []
        for l2 in L2_GRID:
            folds = StratifiedKFold(settings.folds, shuffle=True, random_state=SEED).split(inner_x, inner_y)
            found = [
                plain_fit(inner_x[c], inner_y[c], classes, l2, settings, (inner_x[d], inner_y[d])).accuracy
                for c, d in folds
            ]
            means.append(round(100 * float(np.mean(found)), 2))
        devs.append(max(means))
        fit = plain_fit(inner_x, inner_y, classes, L2_GRID[int(np.argmax(means))], settings)
        tests.append(round(100 * fit.score(x[b], y[b]), 2))
    return round(float(np.mean(devs)), 2), round(float(np.mean(tests)), 2)
