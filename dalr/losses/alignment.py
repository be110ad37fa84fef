"""Distillation of similarities: the student's rows follow soft targets."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dalr.losses.precision import in_full_precision


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
