"""Alignment and uniformity against the formulas, pair by pair."""

import numpy as np
import pytest

from dalr.evaluation.alignment_uniformity import alignment, geometry_of, merged, uniformity, unit
from dalr.evaluation.readers import ScoredPairs
from dalr.evaluation.vectors import EncodedSentences
from dalr.results import STS, TaskRecord, TaskScore
from tests.dalr.evaluation.golden_values import hash32


def pairs(name: str, rows: int, gold: list[float], seed: int = 0) -> ScoredPairs:
    generator = np.random.default_rng(seed)
    words = "a b c d e f g h".split()
    sides = [[" ".join(generator.choice(words, 4)) for _ in range(rows)] for _ in range(2)]
    return ScoredPairs(name, sides[0], sides[1], np.array((gold * rows)[:rows]))


def plain_uniformity(vectors: np.ndarray) -> float:
    terms = [
        np.exp(-2 * float(np.square(vectors[i].astype(float) - vectors[j]).sum()))
        for i in range(len(vectors))
        for j in range(i + 1, len(vectors))
    ]
    return float(np.log(np.mean(terms)))


def plain_alignment(subset: ScoredPairs, positive: np.ndarray) -> float:
    a, b = unit(hash32(subset.first)), unit(hash32(subset.second))
    return float(np.mean([np.square(a[i] - b[i]).sum() for i in np.flatnonzero(positive)]))


def test_uniformity_is_the_mean_over_distinct_pairs(monkeypatch) -> None:
    monkeypatch.setattr("dalr.evaluation.alignment_uniformity.ROWS_AT_ONCE", 7)
    vectors = unit(np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32))
    vectors[3] = 0  # a sentence without tokens
    vectors[5] = vectors[6]
    assert uniformity(vectors) == pytest.approx(plain_uniformity(vectors), abs=1e-5)
    assert uniformity(unit(np.ones((4, 3), dtype=np.float32))) == pytest.approx(0.0, abs=1e-5)


def test_alignment_of_opposite_and_equal_vectors() -> None:
    ones = unit(np.ones((2, 4), dtype=np.float32))
    assert alignment(ones, ones) == 0.0
    assert alignment(ones, -ones) == pytest.approx(4.0)


def test_the_three_variants(monkeypatch) -> None:
    monkeypatch.setattr("dalr.evaluation.alignment_uniformity.MCSE_BATCH", 4)
    subsets = [pairs("one", 9, [5, 4, 2]), pairs("two", 6, [4.5, 1, 1, 1, 1, 1], seed=1)]
    found = geometry_of("STSBenchmark", subsets, EncodedSentences(hash32))
    aligned = [plain_alignment(s, s.gold > 4) for s in subsets]
    spread = [plain_uniformity(unit(hash32(s.first + s.second))) for s in subsets]
    assert found.alignment["dalr"] == pytest.approx((9 * aligned[0] + 6 * aligned[1]) / 15, abs=1e-6)
    assert found.uniformity["dalr"] == pytest.approx((9 * spread[0] + 6 * spread[1]) / 15, abs=1e-5)
    assert found.alignment["simcse"] == found.alignment["dalr"]
    batches = []
    for subset in subsets:
        for start in range(0, len(subset), 4):
            part = slice(start, start + 4)
            batch = ScoredPairs("", subset.first[part], subset.second[part], subset.gold[part])
            positive = batch.gold >= 4
            value = plain_alignment(batch, positive) if positive.any() else 0.0
            batches.append((value, plain_uniformity(unit(hash32(batch.first + batch.second)))))
    assert found.alignment["mcse"] == pytest.approx(np.mean([a for a, _ in batches]), abs=1e-6)
    assert found.uniformity["mcse"] == pytest.approx(np.mean([u for _, u in batches]), abs=1e-5)
    assert any(a == 0.0 for a, _ in batches)


def test_undefined_alignment_has_a_reason() -> None:
    subsets = [pairs("fine", 4, [5.0]), pairs("FNWN", 4, [4.0])]
    found = geometry_of("STS13", subsets, EncodedSentences(hash32))
    assert found.alignment["dalr"] is None
    assert found.reasons["dalr"] == "STS13: no pair of FNWN has a gold score above 4, so alignment is 0/0"
    assert "simcse" not in found.alignment
    assert found.uniformity["dalr"] is not None


def record(task: str, value: float | None) -> TaskRecord:
    reasons = {} if value is not None else {"dalr": f"{task}: 0/0"}
    return TaskRecord(
        task=task, protocol="test", score=TaskScore(score=1, n=2), alignment={"dalr": value}, reasons=reasons
    )


def test_a_mean_needs_every_task_and_says_what_is_missing() -> None:
    records = [record(task, float(number)) for number, task in enumerate(STS)]
    assert merged(records, "alignment")["dalr"].value == 3.0
    some = merged(records[1:], "alignment")["dalr"]
    assert (some.value, some.reason) == (None, "not scored: STS12")
    undefined = merged([*records[:1], record("STS13", None), *records[2:]], "alignment")["dalr"]
    assert (undefined.value, undefined.reason) == (None, "STS13: 0/0")
    assert undefined.tasks["STS13"] is None
    assert merged([], "alignment") == {}
