"""Who trains, who stops the training: SentEval's splits of a task's rows."""

from dataclasses import dataclass

import numpy as np

SEED = 1111
"""The toolkit's seed: of the folds and of every single fit."""

DEV_SHARE = 0.05


@dataclass(frozen=True)
class Fold:
    """One fit's rows: int64 indices of the training and of the early-stopping examples.

    `drawn` is the size of the permutation that the fit's generator drew before its first pass, where
    it split its own dev rows off; None where it drew none.
    """

    train: np.ndarray
    dev: np.ndarray
    drawn: int | None = None


def stratified_folds(labels: np.ndarray, folds: int, seed: int = SEED) -> list[tuple[np.ndarray, np.ndarray]]:
    """(train rows, test rows) of each fold, ascending: scikit-learn's `StratifiedKFold(folds,
    shuffle=True, random_state=seed)`, to the row.

    labels: int64 [n]. Raises ValueError where no class has as many examples as there are folds.
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    _, order = np.unique(first, return_inverse=True)  # classes are numbered as they appear
    encoded = order[inverse]
    counts = np.bincount(encoded)
    if folds > counts.max():
        raise ValueError(f"{folds} folds of classes with at most {counts.max()} examples")
    ordered = np.sort(encoded)
    allocation = np.stack([np.bincount(ordered[i::folds], minlength=len(counts)) for i in range(folds)])
    generator = np.random.RandomState(seed)
    test_fold = np.empty(len(labels), dtype=np.int64)
    for label in range(len(counts)):
        of_class = np.arange(folds).repeat(allocation[:, label])
        generator.shuffle(of_class)
        test_fold[encoded == label] = of_class
    return [(np.flatnonzero(test_fold != fold), np.flatnonzero(test_fold == fold)) for fold in range(folds)]


def with_random_dev(rows: np.ndarray) -> Fold:
    """The rows with a random 5 % of them kept for early stopping, as a fit seeded with 1111 draws it."""
    permutation = np.random.RandomState(SEED).permutation(len(rows))
    size = int(DEV_SHARE * len(rows))
    return Fold(train=rows[permutation[size:]], dev=rows[permutation[:size]], drawn=len(rows))


class Passes:
    """The order in which each fit of a batch sees its rows, pass after pass.

    Every fit's generator starts from the same seed, so fits of the same size draw the same
    permutations: each is drawn once for all of them.
    """

    def __init__(self, folds: list[Fold]) -> None:
        self._generators: dict[tuple[int | None, int], np.random.RandomState] = {}
        for fold in folds:
            key = (fold.drawn, len(fold.train))
            if key not in self._generators:
                self._generators[key] = np.random.RandomState(SEED)
                if fold.drawn is not None:
                    self._generators[key].permutation(fold.drawn)

    def next(self, folds: list[Fold], padding: int) -> np.ndarray:
        """The next pass's rows, int64 [folds, most rows]; shorter folds end in `padding`."""
        drawn = {key: generator.permutation(key[1]) for key, generator in self._generators.items()}
        rows = np.full((len(folds), max(len(fold.train) for fold in folds)), padding, dtype=np.int64)
        for row, fold in zip(rows, folds, strict=True):
            row[: len(fold.train)] = fold.train[drawn[fold.drawn, len(fold.train)]]
        return rows
