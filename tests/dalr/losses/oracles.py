"""The objective's formulas as slow, plain loops over float64 NumPy arrays, written from the formulas
and not from the library's code. Every function takes and returns what its namesake in `dalr.losses` does."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cos(a: Array, b: Array) -> float:
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths > 0 else 0.0


def cosine(a: Array, b: Array) -> Array:
    return np.array([[cos(x, y) for y in b] for x in a])


def angular_margin(s: Array, margin: float, similarity: Array | None = None) -> Array:
    result = s.copy()
    for i in range(len(s)):
        for j in range(len(s)):
            theta = math.acos(max(-1.0, min(1.0, s[i, j])))
            if i != j and theta > margin:
                sigma = 0.0 if similarity is None else similarity[i, j]
                result[i, j] = math.cos(theta - margin * (1 - sigma))
    return result


def log_sum_exp(values: list[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(x - top) for x in values))


def softmax(values: list[float]) -> list[float]:
    total = log_sum_exp(values)
    return [math.exp(x - total) for x in values]


def kl(p: list[float], q: list[float]) -> float:
    return sum(x * (math.log(x) - math.log(y)) for x, y in zip(p, q, strict=True) if x > 0)


def info_nce(anchors: Array, positives: Array, *, temperature: float, margin: float = 0.0) -> float:
    return grounding_contrast(anchors, positives, temperature=temperature, margin=margin)


def grounding_contrast(
    text: Array,
    targets: Array,
    *,
    temperature: float,
    margin: float = 0.0,
    similarity: Array | None = None,
    excluded: Array | None = None,
) -> float:
    logits = angular_margin(cosine(text, targets), margin, similarity) / temperature
    losses = []
    for i, row in enumerate(logits):
        kept = [x for j, x in enumerate(row) if j == i or excluded is None or not excluded[i, j]]
        losses.append(log_sum_exp(kept) - row[i])
    return sum(losses) / len(losses)


def consistency(text: Array, images: Array, *, margin: float = 0.2, shift: int = 5) -> float:
    size = len(text)
    losses = [1 - cos(text[i], images[i]) for i in range(size)]
    if size > 1:
        step = shift % size if shift % size else 1
        losses += [max(0.0, cos(text[i], images[(i - step) % size]) - margin) for i in range(size)]
    return sum(losses) / len(losses)


def soft_alignment(
    logits: Array,
    target_similarity: Array,
    *,
    temperature: float,
    target_temperature: float,
    softening: float = 1.0,
) -> float:
    total = 0.0
    for i in range(len(logits)):
        soft = softmax([x / target_temperature for x in target_similarity[i]])
        target = [softening * q + (1 - softening) * (i == j) for j, q in enumerate(soft)]
        total += kl(target, softmax([x / temperature for x in logits[i]]))
    return total / len(logits)


def listmle(scores: Array, target_scores: Array) -> float:
    total = 0.0
    for row, target in zip(scores, target_scores, strict=True):
        order = sorted(range(len(row)), key=lambda j: (-target[j], j))
        for k in range(len(order)):
            total += log_sum_exp([row[j] for j in order[k:]]) - row[order[k]]
    return total / len(scores)


def listnet(scores: Array, target_scores: Array) -> float:
    size, total = len(scores), 0.0
    if size == 1:
        return 0.0
    for i in range(size):
        others = [j for j in range(size) if j != i]
        p = softmax([target_scores[i, j] for j in others])
        q = softmax([scores[i, j] for j in others])
        total -= sum(x * math.log(y) for x, y in zip(p, q, strict=True))
    return total / size


def local_global(sentences: Array, tokens: Array, token_mask: Array, *, temperature: float) -> float:
    size, length = token_mask.shape
    total = 0.0
    for i in range(size):
        losses = []
        for t in range(length):
            if token_mask[i, t]:
                own = float(sentences[i] @ tokens[i, t]) / temperature
                others = [
                    float(sentences[i] @ tokens[j, u]) / temperature
                    for j in range(size)
                    for u in range(length)
                    if j != i and token_mask[j, u]
                ]
                losses.append(log_sum_exp([own, *others]) - own)
        total += sum(losses) / len(losses) if losses else 0.0
    return total / size


def jensen_shannon(p_logits: Array, q_logits: Array) -> float:
    total = 0.0
    for p_row, q_row in zip(p_logits, q_logits, strict=True):
        p, q = softmax(list(p_row)), softmax(list(q_row))
        m = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
        total += 0.5 * kl(p, m) + 0.5 * kl(q, m)
    return total / len(p_logits)


def normalise_tokens(tokens: Array, token_mask: Array, norm: str) -> Array:
    result = np.zeros_like(tokens)
    size, length, width = tokens.shape
    for i in range(size):
        for t in range(length):
            for f in range(width):
                over = {
                    "feature": [tokens[i, t, g] for g in range(width)],
                    "token": [tokens[i, u, f] for u in range(length) if token_mask[i, u]],
                    "token_padded": [tokens[i, u, f] for u in range(length)],
                }[norm]
                result[i, t, f] = tokens[i, t, f] / math.sqrt(sum(x * x for x in over))
    return result
