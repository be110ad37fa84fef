"""Cosines and the angular margin."""

import torch
from torch import Tensor

from dalr.losses.precision import in_full_precision
from dalr.losses.rows import Rows

SHORTEST = 1e-8
"""Vectors no longer than this have no direction."""


def unit(vectors: Tensor, dim: int = -1) -> Tensor:
    """`vectors` divided by their norm along `dim`.

    A vector no longer than `SHORTEST` is left as it is, so that its cosine with anything is 0 and its
    gradient stays as small as what arrives, instead of being divided by next to nothing.
    """
    norms = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return vectors / torch.where(norms > SHORTEST, norms, 1.0)


@in_full_precision
def cosine(rows: Tensor, columns: Tensor) -> Tensor:
    """s(rows, columns): the cosines [..., B, C] of each row of [..., B, D] with each row of [C, D], in [-1, 1]
    up to rounding."""
    return unit(rows) @ unit(columns).T


@in_full_precision
def self_similarity(vectors: Tensor, rows: Rows | None = None) -> Tensor:
    """s(x, x) [b, B] of `rows` of the vectors [B, D] with all of them."""
    directions = unit(vectors)
    return (rows or Rows.all_of(vectors)).of(directions) @ directions.T


@in_full_precision
def angular_margin(
    cosines: Tensor, margin: float, similarity: Tensor | None = None, rows: Rows | None = None
) -> Tensor:
    """Brings negatives closer by an angle, so that they must be pushed further away.

    With θ = arccos s, off-diagonal entries with θ > m become cos(θ − m·(1 − σ)); all others stay s.
    The threshold is m itself, not the softened margin: a pair inside the margin is left alone.

    Args:
        cosines: s [..., b, B], in [-1, 1].
        margin: m ≥ 0, in radians.
        similarity: σ [b, B], a constant; how alike two negatives are. None is σ = 0.
        rows: which of the batch's rows the b are; None: all.

    Source: ArcCSE's angular margin as MCSE's successors KDMCSE and DALR apply it to negatives.
    """
    if margin == 0:
        return cosines
    # Beside ±1 the slope of arccos is infinite.
    edge = 1 - torch.finfo(cosines.dtype).eps
    angles = cosines.clamp(-edge, edge).arccos()
    shift = margin if similarity is None else margin * (1 - similarity.detach())
    diagonal = (rows or Rows.all_of(cosines)).diagonal
    return torch.where((angles > margin) & ~diagonal, (angles - shift).cos(), cosines)
