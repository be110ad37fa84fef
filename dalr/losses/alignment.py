"""Distillation of similarities: the student's rows follow soft targets."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dalr.losses.inputs import TermInputs
from dalr.losses.precision import in_full_precision
from dalr.losses.similarity import angular_margin, cosine


@in_full_precision
def soft_alignment(
    logits: Tensor,
    target_similarity: Tensor,
    *,
    temperature: float,
    target_temperature: float,
    softening: float = 1.0,
) -> Tensor:
    """KL(Q ‖ softmax(logits/temperature)), mean over rows.

    Q = softening·softmax(target_similarity/target_temperature) + (1 − softening)·I.

    Args:
        logits: [B, B], of the student.
        target_similarity: [B, B], of a teacher; a constant.
        temperature: τ_s > 0, divides the logits.
        target_temperature: > 0, divides the target similarities.
        softening: in [0, 1]. 1 is a fully soft target; 0 a hard one, with which this is the
            cross-entropy with the diagonal.

    Returns:
        A scalar ≥ 0; 0 at B = 1.

    Source: the cross-modal and intra-modal alignment of DALR.
    """
    soft = torch.softmax(target_similarity.detach() / target_temperature, dim=-1)
    hard = torch.eye(len(soft), dtype=soft.dtype, device=soft.device)
    target = softening * soft + (1 - softening) * hard
    # kl_div reads 0·log 0 as 0, which a hard target needs.
    return F.kl_div(F.log_softmax(logits / temperature, dim=-1), target, reduction="batchmean")


def cross_alignment(inputs: TermInputs) -> tuple[Tensor, Tensor]:
    """The term's halves, by images and by text: s_m(z, W v)/τ follows s(v, v) in its columns, s(t, t) in its rows.

    With η > 0 both targets mix in s(a, b) of the consistency task, a constant.
    """
    config, soft, v = inputs.config, _softness(inputs, "cross_alignment"), inputs.images
    logits = angular_margin(cosine(inputs.z, inputs.head("map_image")(v)), config.margin_text) / config.temperature
    image_target, text_target = cosine(v, v), inputs.teacher_similarity
    eta = config.own("cross_alignment", "eta")
    if eta > 0:
        agreement = cosine(*inputs.aligned).detach()
        image_target = (1 - eta) * image_target + eta * agreement.T
        text_target = (1 - eta) * text_target + eta * agreement
    return soft_alignment(logits.T, image_target, **soft), soft_alignment(logits, text_target, **soft)


def intra_alignment(inputs: TermInputs) -> Tensor:
    """The term: s_m(z, z')/τ follows s(t, t)."""
    return soft_alignment(inputs.logits, inputs.teacher_similarity, **_softness(inputs, "intra_alignment"))


def _softness(inputs: TermInputs, term: str) -> dict[str, float]:
    """The keywords of `soft_alignment` for one term."""
    return {name: inputs.config.own(term, name) for name in ("temperature", "target_temperature", "softening")}
