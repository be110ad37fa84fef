"""SentEval's logistic regression, hundreds of fits at once.

The toolkit trains one `nn.Linear` after the other, with Adam or RMSprop and early stopping. Here the
fits of many folds, for all L2 strengths, are one batched computation: the same initial weights, the
same permutations, the same stopping rule. The L2 strengths of a fold see the same rows in the same
order, so these are gathered once; the gradient of the cross-entropy and the optimizer's step are
written out, for all fits together; fits that have stopped are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dalr.evaluation.folds import SEED, Fold, Passes
from dalr.results import Protocol

MAX_PASSES = 200
L2_GRID = (1e-5, 1e-4, 1e-3, 1e-2)
CACHE_BYTES = 2 << 20
"""The gathered rows of one step stay below this on the CPU, so that they are read from its cache."""


@dataclass(frozen=True)
class Settings:
    """A protocol's training of classifiers. `epoch_size`: passes between two looks at the dev rows."""

    folds: int
    optimizer: Literal["adam", "rmsprop"]
    batch_size: int
    tenacity: int
    epoch_size: int


SETTINGS: dict[Protocol, Settings] = {
    "test": Settings(folds=10, optimizer="adam", batch_size=64, tenacity=5, epoch_size=4),
    "fast": Settings(folds=5, optimizer="rmsprop", batch_size=128, tenacity=3, epoch_size=2),
    "dev": Settings(folds=5, optimizer="rmsprop", batch_size=128, tenacity=3, epoch_size=2),
}


@dataclass(frozen=True)
class Fitted:
    """F folds with L strengths each: the best weights, float32 [F, L, C, D'] (bias and padding
    included); their dev accuracy, float64 [F, L] (fraction); the pass after which it was reached,
    int64 [F, L]."""

    weights: Tensor
    accuracy: np.ndarray
    epoch: np.ndarray


class Examples:
    """All examples of a task on one device: features [N, D] and labels [N] of C classes.

    A column of ones takes the bias in; the width is padded to a multiple of 16 with zeros, which no
    step changes, and a row of zeros stands for "no example".
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, classes: int, device: str = "cpu") -> None:
        rows, width = features.shape
        padded = torch.zeros(rows + 1, -(-(width + 1) // 16) * 16)
        padded[:rows, :width] = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        padded[:rows, width] = 1.0
        self.features = padded.to(device)
        self.labels = torch.from_numpy(np.append(labels, 0).astype(np.int64)).to(device)
        self.width, self.classes, self.device = width, classes, device

    @property
    def no_row(self) -> int:
        """The index of the row of zeros."""
        return len(self.features) - 1

    def initial_weights(self) -> Tensor:
        """What `nn.Linear` starts from under the toolkit's seed, float32 [C, D']."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            linear = nn.Linear(self.width, self.classes)
        weights = torch.zeros(self.classes, self.features.shape[1])
        weights[:, : self.width] = linear.weight.detach()
        weights[:, self.width] = linear.bias.detach()
        return weights.to(self.device)

    def predict(self, weights: Tensor, rows: np.ndarray) -> Tensor:
        """The classes of some rows under weights [L, C, D']: int64 [L, rows]."""
        chosen = self.features[torch.from_numpy(rows).to(self.device)]
        return (weights.flatten(0, 1) @ chosen.T).view(*weights.shape[:2], -1).argmax(1)

    def correct(self, weights: Tensor, rows: np.ndarray) -> Tensor:
        """Which of some rows weights [L, C, D'] get right: bool [L, rows]."""
        return self.predict(weights, rows) == self.labels[torch.from_numpy(rows).to(self.device)]


def fit_folds(examples: Examples, folds: Sequence[Fold], l2: np.ndarray, settings: Settings) -> Fitted:
    """Trains one classifier for each fold and strength; l2: float [F, L].

    On the CPU as many folds train together as fit into its cache, on a GPU all of them.
    """
    if examples.device == "cpu":
        batch = settings.batch_size * examples.features.shape[1] * 4
        size = max(1, CACHE_BYTES // batch)
    else:
        size = len(folds)
    order = sorted(range(len(folds)), key=lambda i: -len(folds[i].train))
    with torch.inference_mode():
        parts = []
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            parts.append(_Batch(examples, [folds[i] for i in chosen], l2[chosen], settings).train())
    back = np.argsort(order)
    return Fitted(
        torch.cat([part.weights for part in parts])[torch.from_numpy(back)],
        np.concatenate([part.accuracy for part in parts])[back],
        np.concatenate([part.epoch for part in parts])[back],
    )


class _Batch:
    """Fits that train in step; folds are ordered by falling size, so those with rows left are first."""

    def __init__(self, examples: Examples, folds: list[Fold], l2: np.ndarray, settings: Settings) -> None:
        self.examples, self.settings, self.folds = examples, settings, folds
        self.strengths = l2.shape[1]
        start = examples.initial_weights().repeat(len(folds), self.strengths, 1)
        self.weights = start
        self.mean, self.square = torch.zeros_like(start), torch.zeros_like(start)
        repeated = np.repeat(l2, examples.classes, axis=1)[:, :, None]
        self.l2 = torch.from_numpy(repeated.astype(np.float32)).to(examples.device)
        self.updates = np.zeros(len(folds), dtype=np.int64)
        self.active = np.arange(len(folds))
        self.best = Fitted(
            start.clone().view(len(folds), self.strengths, examples.classes, -1),
            np.full(l2.shape, -1.0),
            np.zeros(l2.shape, dtype=np.int64),
        )
        self.misses = np.zeros(l2.shape, dtype=np.int64)
        self.stopped = np.zeros(l2.shape, dtype=bool)
        rows = len(folds) * settings.batch_size
        self.gathered = torch.empty(rows, examples.features.shape[1], device=examples.device)

    def train(self) -> Fitted:
        """Passes over the rows until every fit has stopped."""
        order, passes = Passes(self.folds), 0
        while len(self.active) and passes <= MAX_PASSES:
            for _ in range(self.settings.epoch_size):
                self._one_pass(order.next([self.folds[i] for i in self.active], self.examples.no_row))
            passes += self.settings.epoch_size
            self._look_at_dev(passes)
            self._drop_stopped()
        return self.best

    def _one_pass(self, rows: np.ndarray) -> None:
        device, size = self.examples.device, self.settings.batch_size
        sizes = np.array([len(self.folds[i].train) for i in self.active])
        steps = -(-sizes.max() // size)
        counts = np.clip(sizes - size * np.arange(steps)[:, None], 0, size)  # [steps, folds]
        updates = self.updates + np.cumsum(counts > 0, axis=0)
        shares = _per_fold(1.0 / np.maximum(counts, 1), device)
        scales = [_per_fold(table, device) for table in _step_scales(self.settings.optimizer, updates)]
        index = torch.from_numpy(rows).to(device)
        targets = nn.functional.one_hot(self.examples.labels[index], self.examples.classes)
        targets = targets.transpose(1, 2).unsqueeze(1).float()  # [folds, 1, C, rows]
        for step in range(steps):
            live, part = int((counts[step] > 0).sum()), slice(step * size, (step + 1) * size)
            gradient = self._gradient(index[:live, part], targets[:live, :, :, part], shares[step, :live])
            self._update(live, gradient, *(table[step, :live] for table in scales))
        self.updates = updates[-1]

    def _gradient(self, index: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        """Of the batch-mean cross-entropy, with the L2 term: [live folds, L·C, D']."""
        live, size = index.shape
        inputs = self.gathered[: live * size]
        torch.index_select(self.examples.features, 0, index.reshape(-1), out=inputs)
        inputs = inputs.view(live, size, -1)
        weights = self.weights[:live]
        scores = torch.bmm(weights, inputs.transpose(1, 2)).view(live, self.strengths, self.examples.classes, size)
        errors = torch.softmax(scores, dim=2).sub_(targets).mul_(share.unsqueeze(-1))
        return torch.bmm(errors.view(live, -1, size), inputs).addcmul_(weights, self.l2[:live])

    def _update(self, live: int, gradient: Tensor, scale: Tensor, epsilon: Tensor) -> None:
        """Adam or RMSprop with torch's defaults, bias corrections folded into `scale` and `epsilon`."""
        square = self.square[:live]
        if self.settings.optimizer == "adam":
            direction = self.mean[:live].lerp_(gradient, 0.1)
            square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        else:
            direction = gradient
            square.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
        self.weights[:live].addcdiv_(direction, square.sqrt().mul_(scale).add_(epsilon), value=-1.0)

    def _look_at_dev(self, passes: int) -> None:
        """Scores the dev rows; keeps what is strictly better; counts the rest, never from the start."""
        weights = self.weights.view(len(self.active), self.strengths, self.examples.classes, -1)
        hits = torch.stack(
            [self.examples.correct(w, self.folds[i].dev).sum(1) for w, i in zip(weights, self.active, strict=True)]
        )
        sizes = np.array([[len(self.folds[i].dev)] for i in self.active])
        accuracy = hits.cpu().numpy() / np.maximum(sizes, 1)
        running = ~self.stopped[self.active]
        better = running & (accuracy > self.best.accuracy[self.active])
        for row, strength in zip(*np.nonzero(better), strict=True):
            fold = self.active[row]
            self.best.weights[fold, strength] = weights[row, strength]
            self.best.accuracy[fold, strength] = accuracy[row, strength]
            self.best.epoch[fold, strength] = passes
        worse = running & ~better
        misses = self.misses[self.active]
        self.stopped[self.active] |= worse & (misses >= self.settings.tenacity)
        self.misses[self.active] = misses + worse

    def _drop_stopped(self) -> None:
        keep = ~self.stopped[self.active].all(1)
        if keep.all():
            return
        index = torch.from_numpy(np.flatnonzero(keep)).to(self.examples.device)
        for name in ("weights", "mean", "square", "l2"):
            setattr(self, name, getattr(self, name).index_select(0, index))
        self.active, self.updates = self.active[keep], self.updates[keep]


def _step_scales(optimizer: str, updates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors a and b of weights -= direction / (a·sqrt(square) + b), after so many updates.

    Adam: lr 1e-3, betas 0.9 and 0.999; RMSprop: lr 1e-2, alpha 0.99; both epsilon 1e-8.
    """
    if optimizer == "rmsprop":
        return np.full(updates.shape, 1e2), np.full(updates.shape, 1e2 * 1e-8)
    count = np.maximum(updates, 1)
    per_rate = (1 - 0.9**count) / 1e-3
    return per_rate / np.sqrt(1 - 0.999**count), per_rate * 1e-8


def _per_fold(table: np.ndarray, device: str) -> Tensor:
    """[steps, folds] → float32 [steps, folds, 1, 1 less]: shaped to multiply [folds, L·C, D']."""
    return torch.from_numpy(table.astype(np.float32))[:, :, None, None].to(device)
