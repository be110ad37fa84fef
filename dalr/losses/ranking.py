"""Distillation of order: the student ranks the batch as the teacher does."""

import torch
from torch import Tensor

from dalr.losses.inputs import TermInputs
from dalr.losses.precision import in_full_precision


@in_full_precision
def listmle(scores: Tensor, target_scores: Tensor) -> Tensor:
    """The negative log-likelihood of the teacher's order under the student's Plackett-Luce model.

    With π_i the order of row i by falling target score, ties by index: mean over rows of
    Σ_k [ log Σ_{l ≥ k} exp(s_{i,π_i(l)}) − s_{i,π_i(k)} ]. Exact: no epsilon inside the logarithm.

    Args:
        scores: the student's [B, N], cosines over τ; the diagonal is part of the list.
        target_scores: the teacher's [B, N]; only its order counts.

    Returns:
        A scalar ≥ 0; 0 at N = 1.

    Source: Xia et al. 2008, eq. 6; RankCSE (Liu et al. 2023), eq. 6.
    """
    order = target_scores.argsort(dim=-1, descending=True, stable=True)
    ranked = scores.gather(-1, order)
    remaining = ranked.flip(-1).logcumsumexp(-1).flip(-1)
    return (remaining - ranked).sum(-1).mean()


@in_full_precision
def listnet(scores: Tensor, target_scores: Tensor) -> Tensor:
    """The cross-entropy of the teacher's and the student's top-one probabilities.

    −mean_i Σ_{j≠i} softmax_{j≠i}(target_i)_j · log softmax_{j≠i}(scores_i)_j.

    Args:
        scores: the student's [B, B], cosines over τ; the diagonal is left out.
        target_scores: the teacher's [B, B], cosines over τ_r; a constant.

    Returns:
        A scalar ≥ 0 (at least the target's entropy); 0 at B = 1.

    Source: Cao et al. 2007; RankCSE (Liu et al. 2023), eq. 5.
    """
    target = torch.softmax(_off_diagonal(target_scores.detach()), dim=-1)
    return (target * -torch.log_softmax(_off_diagonal(scores), dim=-1)).sum(-1).mean()


def _off_diagonal(matrix: Tensor) -> Tensor:
    """[B, B] → [B, B − 1], each row without its diagonal entry.

    Without its first entry the flat matrix is B − 1 rows of B entries and a diagonal entry.
    """
    size = len(matrix)
    return matrix.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(size, size - 1)


def rank(inputs: TermInputs) -> Tensor:
    """The term: s_m(z, z')/τ against the mixed teachers' similarities over τ_r."""
    config, logits = inputs.config, inputs.logits
    target = inputs.teacher_ranking / config.temperature_rank
    if config.rank_loss == "listnet":
        return listnet(logits, target)
    return listmle(logits, target) / (len(logits) if config.rank_reduction == "mean" else 1)
