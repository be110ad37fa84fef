"""SentEval's logistic regression, hundreds of fits at once.

The toolkit trains one `nn.Linear` after the other, with Adam or RMSprop and early stopping. Here the
fits of many folds, for all L2 strengths, are one batched computation: the same initial weights, the
same permutations, the same stopping rule. The L2 strengths of a fold see the same rows in the same
order, so these are gathered once; the gradient of the cross-entropy and the optimizer's step are
written out, for all fits together; fits that have stopped are dropped.

Names end in their shape, a letter for each dimension:

    f   folds that train together           n   examples of the task, and one row of zeros
    a   those of them that still train      r   rows of one pass, the longest fold's
    v   those with rows left in this step   t   steps of one pass
    l   L2 strengths                        b   examples of one step
    c   classes                             d   width of the features, padded
    k   l · c, the score rows of one fold   1   one
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
    """Of each fold and strength: the best weights, float32 [f, l, c, d] (bias and padding included); their
    dev accuracy, float64 [f, l] (fraction); the pass after which it was reached, int64 [f, l]."""

    weights: Tensor
    accuracy: np.ndarray
    epoch: np.ndarray


class Examples:
    """All examples of a task on one device: features [n, d] and labels [n] of c classes.

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
        """What `nn.Linear` starts from under the toolkit's seed, float32 [c, d]."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            linear = nn.Linear(self.width, self.classes)
        weights = torch.zeros(self.classes, self.features.shape[1])
        weights[:, : self.width] = linear.weight.detach()
        weights[:, self.width] = linear.bias.detach()
        return weights.to(self.device)

    def predict(self, weights: Tensor, rows: np.ndarray) -> Tensor:
        """The classes of some rows under weights [l, c, d]: int64 [l, rows]."""
        chosen = self.features[torch.from_numpy(rows).to(self.device)]
        return (weights.flatten(0, 1) @ chosen.T).view(*weights.shape[:2], -1).argmax(1)

    def correct(self, weights: Tensor, rows: np.ndarray) -> Tensor:
        """Which of some rows weights [l, c, d] get right: bool [l, rows]."""
        return self.predict(weights, rows) == self.labels[torch.from_numpy(rows).to(self.device)]


def fit_folds(examples: Examples, folds: Sequence[Fold], l2: np.ndarray, settings: Settings) -> Fitted:
    """Trains one classifier for each fold and strength; l2: float [f, l].

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

    def __init__(self, examples: Examples, folds: list[Fold], l2_fl: np.ndarray, settings: Settings) -> None:
        self.examples, self.settings, self.folds = examples, settings, folds
        self.strengths = l2_fl.shape[1]
        self.active_a = np.arange(len(folds))
        """The places in `folds` of those that still train; what is kept of each fold's optimizer follows them."""
        self.weights_akd = examples.initial_weights().repeat(len(folds), self.strengths, 1)
        self.mean_akd, self.square_akd = torch.zeros_like(self.weights_akd), torch.zeros_like(self.weights_akd)
        l2_fk1 = np.repeat(l2_fl, examples.classes, axis=1)[:, :, None]
        self.l2_ak1 = torch.from_numpy(l2_fk1.astype(np.float32)).to(examples.device)
        self.updates_a = np.zeros(len(folds), dtype=np.int64)
        self.best = Fitted(
            weights=self.weights_akd.clone().view(len(folds), self.strengths, examples.classes, -1),
            accuracy=np.full(l2_fl.shape, -1.0),
            epoch=np.zeros(l2_fl.shape, dtype=np.int64),
        )
        self.misses_fl = np.zeros(l2_fl.shape, dtype=np.int64)
        self.stopped_fl = np.zeros(l2_fl.shape, dtype=bool)
        rows = len(folds) * settings.batch_size
        self.buffer = torch.empty(rows, examples.features.shape[1], device=examples.device)

    def train(self) -> Fitted:
        """Passes over the rows until every fit has stopped."""
        order, passes = Passes(self.folds), 0
        while len(self.active_a) and passes <= MAX_PASSES:
            for _ in range(self.settings.epoch_size):
                self._one_pass(order.next([self.folds[i] for i in self.active_a], self.examples.no_row))
            passes += self.settings.epoch_size
            self._look_at_dev(passes)
            self._drop_stopped()
        return self.best

    def _one_pass(self, rows_ar: np.ndarray) -> None:
        device, size = self.examples.device, self.settings.batch_size
        sizes_a = np.array([len(self.folds[i].train) for i in self.active_a])
        steps = -(-sizes_a.max() // size)
        counts_ta = np.clip(sizes_a - size * np.arange(steps)[:, None], 0, size)
        updates_ta = self.updates_a + np.cumsum(counts_ta > 0, axis=0)
        shares_ta11 = _per_fold(1.0 / np.maximum(counts_ta, 1), device)
        scales_ta11 = [_per_fold(table, device) for table in _step_scales(self.settings.optimizer, updates_ta)]
        index_ar = torch.from_numpy(rows_ar).to(device)
        targets_arc = nn.functional.one_hot(self.examples.labels[index_ar], self.examples.classes)
        targets_a1cr = targets_arc.transpose(1, 2).unsqueeze(1).float()
        for step in range(steps):
            live, part = int((counts_ta[step] > 0).sum()), slice(step * size, (step + 1) * size)
            gradient_vkd = self._gradient(
                index_ar[:live, part], targets_a1cr[:live, :, :, part], shares_ta11[step, :live]
            )
            self._update(gradient_vkd, *(table[step, :live] for table in scales_ta11))
        self.updates_a = updates_ta[-1]

    def _gradient(self, index_vb: Tensor, targets_v1cb: Tensor, share_v11: Tensor) -> Tensor:
        """Of the batch-mean cross-entropy, with the L2 term: [v, k, d]."""
        live, size = index_vb.shape
        inputs = self.buffer[: live * size]
        torch.index_select(self.examples.features, 0, index_vb.reshape(-1), out=inputs)
        inputs_vbd = inputs.view(live, size, -1)
        weights_vkd = self.weights_akd[:live]
        scores_vkb = torch.bmm(weights_vkd, inputs_vbd.transpose(1, 2))
        scores_vlcb = scores_vkb.view(live, self.strengths, self.examples.classes, size)
        errors_vlcb = torch.softmax(scores_vlcb, dim=2).sub_(targets_v1cb).mul_(share_v11.unsqueeze(-1))
        errors_vkb = errors_vlcb.view(live, -1, size)
        return torch.bmm(errors_vkb, inputs_vbd).addcmul_(weights_vkd, self.l2_ak1[:live])

    def _update(self, gradient_vkd: Tensor, scale_v11: Tensor, epsilon_v11: Tensor) -> None:
        """Adam or RMSprop with torch's defaults, bias corrections folded into `scale` and `epsilon`."""
        live = len(gradient_vkd)
        square_vkd = self.square_akd[:live]
        if self.settings.optimizer == "adam":
            direction_vkd = self.mean_akd[:live].lerp_(gradient_vkd, 0.1)
            square_vkd.mul_(0.999).addcmul_(gradient_vkd, gradient_vkd, value=0.001)
        else:
            direction_vkd = gradient_vkd
            square_vkd.mul_(0.99).addcmul_(gradient_vkd, gradient_vkd, value=0.01)
        divisor_vkd = square_vkd.sqrt().mul_(scale_v11).add_(epsilon_v11)
        self.weights_akd[:live].addcdiv_(direction_vkd, divisor_vkd, value=-1.0)

    def _look_at_dev(self, passes: int) -> None:
        """Scores the dev rows; keeps what is strictly better; counts the rest, never from the start."""
        weights_alcd = self.weights_akd.view(len(self.active_a), self.strengths, self.examples.classes, -1)
        folds = [self.folds[i] for i in self.active_a]
        hits = [self.examples.correct(w, fold.dev).sum(1) for w, fold in zip(weights_alcd, folds, strict=True)]
        sizes_a1 = np.array([[len(fold.dev)] for fold in folds])
        accuracy_al = torch.stack(hits).cpu().numpy() / np.maximum(sizes_a1, 1)
        running_al = ~self.stopped_fl[self.active_a]
        better_al = running_al & (accuracy_al > self.best.accuracy[self.active_a])
        for row, strength in zip(*np.nonzero(better_al), strict=True):
            fold = self.active_a[row]
            self.best.weights[fold, strength] = weights_alcd[row, strength]
            self.best.accuracy[fold, strength] = accuracy_al[row, strength]
            self.best.epoch[fold, strength] = passes
        worse_al = running_al & ~better_al
        misses_al = self.misses_fl[self.active_a]
        self.stopped_fl[self.active_a] |= worse_al & (misses_al >= self.settings.tenacity)
        self.misses_fl[self.active_a] = misses_al + worse_al

    def _drop_stopped(self) -> None:
        keep_a = ~self.stopped_fl[self.active_a].all(1)
        if keep_a.all():
            return
        index = torch.from_numpy(np.flatnonzero(keep_a)).to(self.examples.device)
        for name in ("weights_akd", "mean_akd", "square_akd", "l2_ak1"):
            setattr(self, name, getattr(self, name).index_select(0, index))
        self.active_a, self.updates_a = self.active_a[keep_a], self.updates_a[keep_a]


def _step_scales(optimizer: str, updates_ta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors a and b of weights -= direction / (a·sqrt(square) + b), each [t, a], after so many updates.

    Adam: lr 1e-3, betas 0.9 and 0.999; RMSprop: lr 1e-2, alpha 0.99; both epsilon 1e-8.
    """
    if optimizer == "rmsprop":
        return np.full(updates_ta.shape, 1e2), np.full(updates_ta.shape, 1e2 * 1e-8)
    count_ta = np.maximum(updates_ta, 1)
    per_rate_ta = (1 - 0.9**count_ta) / 1e-3
    return per_rate_ta / np.sqrt(1 - 0.999**count_ta), per_rate_ta * 1e-8


def _per_fold(table_ta: np.ndarray, device: str) -> Tensor:
    """[t, a] → float32 [t, a, 1, 1]: a step's values multiply [a, k, d]."""
    return torch.from_numpy(table_ta.astype(np.float32))[:, :, None, None].to(device)
