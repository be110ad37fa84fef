"""What an encoder returns is checked; each distinct sentence is encoded once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dalr.errors import InputError
from dalr.evaluation import vectors as module
from dalr.evaluation.cache import VectorCache
from dalr.evaluation.vectors import EncodedSentences
from tests.dalr.evaluation.golden_values import hash32


class Counting:
    """hash32, noting what it is asked for."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, sentences: list[str]) -> np.ndarray:
        self.seen += sentences
        return hash32(sentences)


def test_each_sentence_is_encoded_once() -> None:
    encode = Counting()
    known = EncodedSentences(encode)
    np.testing.assert_array_equal(known.of(["a", "b", "a"]), hash32(["a", "b", "a"]))
    np.testing.assert_array_equal(known.of(["c c", "a", ""]), hash32(["c c", "a", ""]))
    assert sorted(encode.seen) == ["", "a", "b", "c c"]
    assert (len(known), known.dimension) == (4, 32)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.full((3, 4), np.nan), r"the vector of 'three' is not finite"),
        (np.full((3, 4), np.inf), r"not finite"),
        (np.zeros((2, 4)), r"returned 2 rows for 3 sentences"),
        (np.zeros((4, 4)), r"returned 4 rows for 3 sentences"),
        (np.zeros(3), r"returned shape \(3,\), expected \(3, D\)"),
        (np.zeros((3, 0)), r"returned shape \(3, 0\)"),
        (None, r"returned"),
        ([["a", "b"]] * 3, r"no array of numbers"),
        ([[1.0], [1.0, 2.0], [3.0]], r"no array of numbers"),
    ],
)
def test_what_is_no_vector_is_refused(returned: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EncodedSentences(lambda sentences: returned).of(["one", "two", "three"])


def test_a_single_bad_row_is_named() -> None:
    def encode(sentences: list[str]) -> np.ndarray:
        return np.array([[np.nan if s == "bad one" else 1.0, 2.0] for s in sentences])

    with pytest.raises(InputError, match="'bad one'"):
        EncodedSentences(encode).of(["fine", "bad one", "good"])


def test_a_changed_dimension_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    widths = iter([3, 4])
    known = EncodedSentences(lambda sentences: np.ones((len(sentences), next(widths))))
    with pytest.raises(InputError, match="dimension changed between batches, from 3 to 4"):
        known.add(["a", "b", "c", "d"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_and_lists_are_taken(dtype: torch.dtype) -> None:
    tensor = torch.ones(2, 3, dtype=dtype, requires_grad=True)
    assert EncodedSentences(lambda sentences: tensor).of(["a", "b"]).dtype == np.float32
    assert EncodedSentences(lambda sentences: [[1, 2]] * 2).of(["a", "b"]).tolist() == [[1, 2], [1, 2]]


def test_a_cache_outlives_the_process_and_belongs_to_one_model(tmp_path: Path) -> None:
    first, second, third = Counting(), Counting(), Counting()
    EncodedSentences(first, VectorCache(tmp_path, "model-a")).of(["a", "b"])
    known = EncodedSentences(second, VectorCache(tmp_path, "model-a"))
    np.testing.assert_array_equal(known.of(["b", "c", "a"]), hash32(["b", "c", "a"]))
    EncodedSentences(third, VectorCache(tmp_path, "model-b")).of(["a"])
    assert (second.seen, third.seen) == (["c"], ["a"])
    next(tmp_path.glob("model-a/*.npz")).write_bytes(b"PK broken")
    with pytest.raises(InputError, match="is not a whole block of vectors, delete it"):
        EncodedSentences(first, VectorCache(tmp_path, "model-a"))
