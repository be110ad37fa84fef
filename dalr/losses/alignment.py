"""Distillation of similarities: the student's rows follow soft targets."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dalr.losses.inputs import TermInputs
from dalr.losses.precision import in_full_precision
from dalr.losses.rows import Rows
from dalr.losses.similarity import angular_margin, cosine, self_similarity


@in_full_precision
def soft_alignment(
    logits: Tensor,
    target_similarity: Tensor,
    *,
    temperature: float,
    target_temperature: float,
    softening: float = 1.0,
    rows: Rows | None = None,
) -> Tensor:
    """KL(Q ‖ softmax(logits/temperature)), mean over rows.

    Q = softening·softmax(target_similarity/target_temperature) + (1 − softening)·I.

    Args:
        logits: [b, B], of the student.
        target_similarity: [b, B], of a teacher; a constant.
        temperature: τ_s > 0, divides the logits.
        target_temperature: > 0, divides the target similarities.
        softening: in [0, 1]. 1 is a fully soft target; 0 a hard one, with which this is the
            cross-entropy with the diagonal.
        rows: which of the batch's rows the b are; None: all.

    Returns:
        A scalar ≥ 0; 0 at B = 1.

    Source: the cross-modal and intra-modal alignment of DALR.
    """
    rows = rows or Rows.all_of(logits)
    target = torch.softmax(target_similarity.detach() / target_temperature, dim=-1)
    if softening != 1:
        target = softening * target + (1 - softening) * rows.diagonal.to(target.dtype)
    # kl_div reads 0·log 0 as 0, which a hard target needs.
    return F.kl_div(F.log_softmax(logits / temperature, dim=-1), target, reduction="sum") / rows.total


def cross_alignment(inputs: TermInputs) -> tuple[Tensor, Tensor]:
    """The term's halves, by images and by text: s_m(z, W v)/τ follows s(v, v) in its columns, s(t, t) in its rows.

    With η > 0 both targets mix in s(a, b) of the consistency task, a constant.
    """
    config, soft, rows = inputs.config, _softness(inputs, "cross_alignment"), inputs.rows
    mapped = inputs.head("map_image")(inputs.images)

    def logits(one: Tensor, other: Tensor) -> Tensor:
        return angular_margin(cosine(one, other), config.margin_text, rows=rows) / config.temperature

    by_text = logits(rows.of(inputs.z), mapped)
    by_image = by_text.T if rows.are_all else logits(rows.of(mapped), inputs.z)
    image_target, text_target = self_similarity(inputs.images, rows), inputs.teacher_similarity
    eta = config.own("cross_alignment", "eta")
    if eta > 0:
        a, b = (aligned.detach() for aligned in inputs.aligned)
        image_target = (1 - eta) * image_target + eta * cosine(rows.of(b), a)
        text_target = (1 - eta) * text_target + eta * cosine(rows.of(a), b)
    return soft_alignment(by_image, image_target, **soft, rows=rows), soft_alignment(
        by_text, text_target, **soft, rows=rows
    )


def intra_alignment(inputs: TermInputs) -> Tensor:
    """The term: s_m(z, z')/τ follows s(t, t)."""
    soft = _softness(inputs, "intra_alignment")
    return soft_alignment(inputs.logits, inputs.teacher_similarity, **soft, rows=inputs.rows)


def _softness(inputs: TermInputs, term: str) -> dict[str, float]:
    """The keywords of `soft_alignment` for one term."""
    return {name: inputs.config.own(term, name) for name in ("temperature", "target_temperature", "softening")}
