"""Semantic textual similarity: cosines of pairs, rank correlation with the gold scores."""

from dataclasses import dataclass

import numpy as np

from dalr.evaluation.readers import ScoredPairs
from dalr.evaluation.tasks import StsTask
from dalr.evaluation.vectors import EncodedSentences
from dalr.results import SubsetScore, TaskScore
from dalr.statistics import pearson, spearman


@dataclass(frozen=True)
class StsScores:
    """A scored split; the arrays hold all its pairs, subset after subset: similarities float64 [n],
    gold float64 [n]."""

    score: TaskScore
    similarities: np.ndarray
    gold: np.ndarray


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosine of each pair of rows: two float32 [n, D] → float64 [n]; 0 where a row is zero."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.divide(np.einsum("nd,nd->n", a, b), lengths, out=np.zeros(len(a)), where=lengths > 0)


def sentences_of(subsets: list[ScoredPairs]) -> list[str]:
    """Every sentence of the pairs, repetitions included."""
    return [sentence for pairs in subsets for side in (pairs.first, pairs.second) for sentence in side]


def score_sts(task: StsTask, split: str, subsets: list[ScoredPairs], vectors: EncodedSentences) -> StsScores:
    """Scores a split: over all its pairs together, and each subset where the task has some.

    A correlation with similarities that are all equal is undefined, and counted as 0.
    """
    vectors.add(sentences_of(subsets))
    similarities = [cosines(vectors.of(pairs.first), vectors.of(pairs.second)) for pairs in subsets]
    everything, gold = np.concatenate(similarities), np.concatenate([pairs.gold for pairs in subsets])
    correlation = spearman(everything, gold)
    parts = {
        pairs.name: SubsetScore(
            n=len(pairs), spearman=spearman(cosine, pairs.gold), pearson=pearson(cosine, pairs.gold)
        )
        for pairs, cosine in zip(subsets, similarities, strict=True)
    }
    ranks, sizes = [part.spearman for part in parts.values()], [part.n for part in parts.values()]
    score = TaskScore(
        score=100 * correlation,
        n=len(gold),
        split=split,
        spearman=correlation,
        pearson=pearson(everything, gold),
        mean=float(np.mean(ranks)) if task.subsets else None,
        weighted_mean=float(np.average(ranks, weights=sizes)) if task.subsets else None,
        subsets=parts if task.subsets else None,
    )
    return StsScores(score, everything, gold)
