"""Contrast of each row with its own partner against the partners of all other rows."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dalr.losses.inputs import TermInputs
from dalr.losses.precision import in_full_precision
from dalr.losses.similarity import angular_margin, cosine


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
    logits = angular_margin(cosine(anchors, positives), margin) / temperature
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


@in_full_precision
def grounding_contrast(
    text: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    margin: float = 0.0,
    similarity: Tensor | None = None,
    excluded: Tensor | None = None,
) -> Tensor:
    """Contrast of sentences with what they describe: mean_i −log softmax_j(s_m(p_i, u_j)/τ_vl)_i.

    Args:
        text: p [B, P], projected sentences, of any length.
        targets: u [B, P], projected features of images or captions, of any length.
        temperature: τ_vl > 0.
        margin: m ≥ 0 in radians, applied to negatives.
        similarity: σ [B, B], softens the margin of negatives that are alike, m·(1 − σ); a constant.
        excluded: bool [B, B], true for negatives to leave out. The diagonal is never left out.

    Returns:
        A scalar ≥ 0; 0 at B = 1 and where every negative is excluded.

    Source: MCSE (Zhang et al. 2022), eq. 4; the softened margin and the exclusion of likely false
    negatives: KDMCSE (Nguyen et al. 2024).
    """
    logits = angular_margin(cosine(text, targets), margin, similarity) / temperature
    if excluded is not None:
        diagonal = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(excluded & ~diagonal, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def grounding_image(inputs: TermInputs) -> Tensor:
    """The term: p = G_t h against u = G_v v, σ = s(v, v). A threshold excludes by c·v."""
    v = inputs.images
    threshold = inputs.config.threshold
    excluded = None if threshold is None else inputs.captions @ v.T > threshold
    return _grounding(inputs, "grounding_image", v, inputs.head("ground_image")(v), excluded)


def grounding_text(inputs: TermInputs) -> Tensor:
    """The term: p = G_t h against G_c c, σ = s(c, c). A threshold excludes by v·c."""
    c = inputs.captions
    threshold = inputs.config.threshold
    excluded = None if threshold is None else inputs.images @ c.T > threshold
    return _grounding(inputs, "grounding_text", c, inputs.head("ground_caption")(c), excluded)


def _grounding(inputs: TermInputs, term: str, features: Tensor, targets: Tensor, excluded: Tensor | None) -> Tensor:
    """`grounding_contrast`, the mean over both dropout passes."""
    config = inputs.config
    similarity = cosine(features, features) if config.own(term, "softened_margin") else None
    passes = [
        grounding_contrast(
            inputs.head("ground_text")(one_pass),
            targets,
            temperature=config.temperature_vl,
            margin=config.margin_vl,
            similarity=similarity,
            excluded=excluded,
        )
        for one_pass in inputs.h.unbind(1)
    ]
    return torch.stack(passes).mean()
