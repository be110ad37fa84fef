"""The batched classifier against one fit at a time, fold by fold."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedKFold

from dalr.evaluation import classifier
from dalr.evaluation.classifier import L2_GRID, SETTINGS, Examples, Settings, fit_folds
from dalr.evaluation.folds import Fold, stratified_folds, with_random_dev
from tests.dalr.evaluation.plain_classifier import plain_fit

SMALL = Settings(folds=3, optimizer="adam", batch_size=16, tenacity=2, epoch_size=2)
OTHER = Settings(folds=3, optimizer="rmsprop", batch_size=16, tenacity=2, epoch_size=2)


def drawn(rows: int, width: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds, so that accuracies are neither perfect nor chance."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    centres = generator.normal(size=(classes, width))
    features = centres[labels] + 2.0 * generator.normal(size=(rows, width))
    return features.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("folds", [3, 10])
def test_folds_are_scikit_learns(classes: int, folds: int) -> None:
    labels = np.random.default_rng(classes).integers(0, classes, 211) ** 2  # uneven, classes not 0, 1, 2
    theirs = StratifiedKFold(folds, shuffle=True, random_state=1111).split(labels, labels)
    for (train, test), (their_train, their_test) in zip(stratified_folds(labels, folds), theirs, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(test, their_test)


def test_more_folds_than_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="10 folds"):
        stratified_folds(np.array([0, 1, 0, 1]), 10)


@pytest.mark.parametrize("settings", [SMALL, OTHER], ids=["adam", "rmsprop"])
@pytest.mark.parametrize("classes", [2, 3])
def test_every_fit_equals_the_same_fit_alone(settings: Settings, classes: int, monkeypatch) -> None:
    features, labels = drawn(131, 7, classes)
    # Training sets of 39, 87 and 83 rows: some have batches of 16 more than others, all end in a
    # partial one. Three train together, then the fourth alone.
    whole = stratified_folds(labels, 3)
    folds = [Fold(train, test) for train, test in whole[:2]]
    folds += [Fold(whole[2][0][:39], whole[2][1]), with_random_dev(whole[0][0])]
    monkeypatch.setattr(classifier, "CACHE_BYTES", 3 * 16 * 16 * 4)
    grid = np.tile([1e-5, 0.3], (len(folds), 1))
    found = fit_folds(Examples(features, labels, classes), folds, grid, settings)
    for row, fold in enumerate(folds):
        train = whole[0][0] if fold.drawn else fold.train
        dev = None if fold.drawn else (features[fold.dev], labels[fold.dev])
        for column, l2 in enumerate(grid[row]):
            alone = plain_fit(features[train], labels[train], classes, l2, settings, dev)
            assert found.accuracy[row, column] == alone.accuracy
            assert found.epoch[row, column] == alone.epoch
            weights = found.weights[row, column]
            torch.testing.assert_close(weights[:, :7], alone.model.weight.data, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(weights[:, 7], alone.model.bias.data, atol=1e-5, rtol=1e-4)
            assert not weights[:, 8:].any()


def test_a_fold_trains_the_same_in_any_company() -> None:
    features, labels = drawn(90, 5, 2)
    folds = [Fold(train, test) for train, test in stratified_folds(labels, 3)]
    examples, grid = Examples(features, labels, 2), np.tile(np.array(L2_GRID), (3, 1))
    together = fit_folds(examples, folds, grid, SMALL)
    for row in range(3):
        alone = fit_folds(examples, folds[row : row + 1], grid[:1], SMALL)
        np.testing.assert_array_equal(together.accuracy[row], alone.accuracy[0])
        torch.testing.assert_close(together.weights[row], alone.weights[0], atol=1e-6, rtol=1e-5)


def test_a_fit_that_keeps_improving_stops_at_the_last_pass(monkeypatch) -> None:
    features, labels = drawn(60, 4, 2)
    monkeypatch.setattr(classifier, "MAX_PASSES", 6)
    patient = Settings(folds=3, optimizer="adam", batch_size=16, tenacity=1000, epoch_size=4)
    fold = Fold(np.arange(40), np.arange(40, 60))
    found = fit_folds(Examples(features, labels, 2), [fold], np.array([[1e-3]]), patient)
    alone = plain_fit(features[:40], labels[:40], 2, 1e-3, patient, (features[40:], labels[40:]), max_passes=6)
    assert alone.steps == 8 * 3  # 8 passes: the limit is looked at before the four passes, as in the toolkit
    assert found.accuracy[0, 0] == alone.accuracy
    torch.testing.assert_close(found.weights[0, 0, :, :4], alone.model.weight.data, atol=1e-6, rtol=1e-5)


def test_global_random_state_is_left_alone() -> None:
    features, labels = drawn(60, 4, 2)
    np.random.seed(5)
    torch.manual_seed(5)
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    fit_folds(Examples(features, labels, 2), [with_random_dev(np.arange(60))], np.array([[1e-3]]), SMALL)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu() -> None:
    features, labels = drawn(400, 32, 2)
    folds = [Fold(train, test) for train, test in stratified_folds(labels, 5)]
    grid = np.tile(np.array(L2_GRID), (5, 1))
    cpu = fit_folds(Examples(features, labels, 2), folds, grid, SETTINGS["fast"])
    gpu = fit_folds(Examples(features, labels, 2, "cuda"), folds, grid, SETTINGS["fast"])
    np.testing.assert_allclose(gpu.accuracy, cpu.accuracy, atol=0.02)
