"""Alignment and uniformity of embeddings, in the three variants that papers report.

All follow Wang and Isola (ICML 2020), on unit vectors: alignment is the mean squared distance of
positive pairs, uniformity the logarithm of the mean of exp(-2·squared distance) over pairs of
sentences. They differ in what counts as positive and over what they average, so that their values
cannot be compared:

`dalr`: gold > 4; each subset by itself, over all its sentences; weighted by size.
`mcse`: gold >= 4; in batches of 128 pairs, a batch without positives counting 0; mean of the batches.
`simcse`: gold > 4, over all sentences, of STS-B alone.
"""

from dataclasses import dataclass, field

import numpy as np

from dalr.evaluation.readers import ScoredPairs
from dalr.evaluation.vectors import EncodedSentences
from dalr.results import STS, Geometry, TaskRecord

VARIANTS = ("dalr", "mcse", "simcse")
MCSE_BATCH = 128
ROWS_AT_ONCE = 1024


@dataclass
class TaskGeometry:
    """A task's values by variant; None where undefined, with the reason."""

    alignment: dict[str, float | None] = field(default_factory=dict)
    uniformity: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Each row of [n, D] divided by its length, or by 1e-8 where it is shorter."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-8)


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean squared distance of unit rows [n, D], n > 0: 0 to 4."""
    return float(np.square(first - second).sum(1, dtype=np.float64).mean())


def uniformity(vectors: np.ndarray) -> float:
    """log mean over i < j of exp(-2·‖zi - zj‖²), unit rows [n, D], n > 1: at most 0."""
    n, total = len(vectors), 0.0
    squares = np.square(vectors).sum(1)
    for start in range(0, n, ROWS_AT_ONCE):
        block = slice(start, start + ROWS_AT_ONCE)
        distances = squares[block, None] + squares[None, :] - 2.0 * (vectors[block] @ vectors.T)
        weights = np.exp(-2.0 * np.maximum(distances, 0.0))
        rows = np.arange(len(weights))
        weights[rows, rows + start] = 0.0  # a sentence is no pair with itself
        total += float(weights.sum(dtype=np.float64))
    return float(np.log(total / (n * (n - 1))))


def geometry_of(task: str, subsets: list[ScoredPairs], vectors: EncodedSentences) -> TaskGeometry:
    """All variants of one task's split."""
    sides = [(unit(vectors.of(pairs.first)), unit(vectors.of(pairs.second))) for pairs in subsets]
    sizes = [len(pairs) for pairs in subsets]
    geometry = TaskGeometry()
    aligned: list[float] = []
    for pairs, (first, second) in zip(subsets, sides, strict=True):
        positive = pairs.gold > 4
        if positive.any():
            aligned.append(alignment(first[positive], second[positive]))
        else:
            geometry.reasons["dalr"] = f"{task}: no pair of {pairs.name} has a gold score above 4, so alignment is 0/0"
    spread = [uniformity(np.concatenate(pair)) for pair in sides]
    geometry.uniformity["dalr"] = float(np.average(spread, weights=sizes))
    geometry.alignment["dalr"] = None if "dalr" in geometry.reasons else float(np.average(aligned, weights=sizes))
    batches = [batch for pairs, pair in zip(subsets, sides, strict=True) for batch in _mcse_batches(pairs, *pair)]
    geometry.alignment["mcse"] = float(np.mean([value for value, _ in batches]))
    geometry.uniformity["mcse"] = float(np.mean([value for _, value in batches]))
    if task == "STSBenchmark":
        geometry.alignment["simcse"], geometry.uniformity["simcse"] = (
            geometry.alignment["dalr"],
            geometry.uniformity["dalr"],
        )
    return geometry


def _mcse_batches(pairs: ScoredPairs, first: np.ndarray, second: np.ndarray) -> list[tuple[float, float]]:
    """(alignment, uniformity) of each batch of 128 pairs."""
    values = []
    for start in range(0, len(pairs), MCSE_BATCH):
        part = slice(start, start + MCSE_BATCH)
        positive = pairs.gold[part] >= 4
        aligned = alignment(first[part][positive], second[part][positive]) if positive.any() else 0.0
        values.append((aligned, uniformity(np.concatenate([first[part], second[part]]))))
    return values


def merged(records: list[TaskRecord], what: str) -> dict[str, Geometry]:
    """A result's `alignment` or `uniformity` from its tasks': the mean over the 7 STS tasks (`simcse`:
    STS-B's own), null with a reason unless every one of them is there and defined."""
    values: dict[str, Geometry] = {}
    for variant in VARIANTS:
        of_tasks = {r.task: getattr(r, what)[variant] for r in records if variant in getattr(r, what)}
        if not of_tasks:
            continue
        needed = ("STSBenchmark",) if variant == "simcse" else STS
        missing = [task for task in needed if task not in of_tasks]
        undefined = [r.reasons.get("dalr", r.task) for r in records if of_tasks.get(r.task, 0.0) is None]
        reason = f"not scored: {', '.join(missing)}" if missing else "; ".join(undefined) or None
        defined = [of_tasks[task] for task in needed if of_tasks.get(task) is not None]
        mean = float(np.mean(np.array(defined, dtype=np.float64))) if reason is None else None
        values[variant] = Geometry(value=mean, reason=reason, tasks=of_tasks)
    return values
