"""Contrast of each row with its own partner against the partners of all other rows."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dalr.losses.inputs import TermInputs
from dalr.losses.precision import in_full_precision
from dalr.losses.rows import Rows
from dalr.losses.similarity import angular_margin, cosine, self_similarity


@in_full_precision
def info_nce(anchors: Tensor, positives: Tensor, *, temperature: float, margin: float = 0.0) -> Tensor:
    """Row-wise InfoNCE: mean_i −log softmax_j(s_m(z_i, z'_j)/τ)_i.

    Args:
        anchors: z [B, D], of any length.
        positives: z' [B, D]; row i belongs to anchor i, all others are negatives.
        temperature: τ > 0.
        margin: m ≥ 0 in radians, applied to negatives (see `angular_margin`).

    Returns:
        A scalar ≥ 0; 0 at B = 1, where there are no negatives.

    Source: SimCSE (Gao et al. 2021), eq. 4; the margin: DALR, KDMCSE.
    """
    return contrast(angular_margin(cosine(anchors, positives), margin) / temperature)


@in_full_precision
def contrast(logits: Tensor, rows: Rows | None = None) -> Tensor:
    """mean_i −log softmax_j(logits)_i, of `rows` of a batch their share of it.

    Args:
        logits: [..., b, B]; over the leading dimensions it is the mean too.
        rows: which of the batch's rows the b are; None: all.
    """
    rows = rows or Rows.all_of(logits)
    flat = logits.flatten(0, -2)
    passes = logits.numel() // max(1, rows.count * rows.total)
    own = rows.own if logits.ndim == 2 else rows.own.repeat(passes)
    return F.cross_entropy(flat, own, reduction="sum") / (max(1, passes) * rows.total)


@in_full_precision
def grounding_contrast(
    text: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    margin: float = 0.0,
    similarity: Tensor | None = None,
    excluded: Tensor | None = None,
    rows: Rows | None = None,
) -> Tensor:
    """Contrast of sentences with what they describe: mean_i −log softmax_j(s_m(p_i, u_j)/τ_vl)_i.

    Args:
        text: p [..., b, P], projected sentences, of any length; over the leading dimensions it is the mean too.
        targets: u [B, P], projected features of images or captions, of any length.
        temperature: τ_vl > 0.
        margin: m ≥ 0 in radians, applied to negatives.
        similarity: σ [b, B], softens the margin of negatives that are alike, m·(1 − σ); a constant.
        excluded: bool [b, B], true for negatives to leave out. The diagonal is never left out.
        rows: which of the batch's rows the b are; None: all.

    Returns:
        A scalar ≥ 0; 0 at B = 1 and where every negative is excluded.

    Source: MCSE (Zhang et al. 2022), eq. 4; the softened margin and the exclusion of likely false
    negatives: KDMCSE (Nguyen et al. 2024).
    """
    cosines = cosine(text, targets)
    rows = rows or Rows.all_of(cosines)
    logits = angular_margin(cosines, margin, similarity, rows) / temperature
    if excluded is not None:
        logits = logits.masked_fill(excluded & ~rows.diagonal, -torch.inf)
    return contrast(logits, rows)


def grounding_image(inputs: TermInputs) -> Tensor:
    """The term: p = G_t h against u = G_v v, σ = s(v, v). A threshold excludes by c·v."""
    v = inputs.images
    threshold = inputs.config.threshold
    excluded = None if threshold is None else inputs.rows.of(inputs.captions) @ v.T > threshold
    return _grounding(inputs, "grounding_image", v, inputs.head("ground_image")(v), excluded)


def grounding_text(inputs: TermInputs) -> Tensor:
    """The term: p = G_t h against G_c c, σ = s(c, c). A threshold excludes by v·c."""
    c = inputs.captions
    threshold = inputs.config.threshold
    excluded = None if threshold is None else inputs.rows.of(inputs.images) @ c.T > threshold
    return _grounding(inputs, "grounding_text", c, inputs.head("ground_caption")(c), excluded)


def _grounding(inputs: TermInputs, term: str, features: Tensor, targets: Tensor, excluded: Tensor | None) -> Tensor:
    """`grounding_contrast`, the mean over both dropout passes."""
    config = inputs.config
    softened = config.own(term, "softened_margin")
    return grounding_contrast(
        inputs.head("ground_text")(inputs.rows.of(inputs.h).transpose(0, 1)),
        targets,
        temperature=config.temperature_vl,
        margin=config.margin_vl,
        similarity=self_similarity(features, inputs.rows) if softened else None,
        excluded=excluded,
        rows=inputs.rows,
    )
