"""Distillation of order: the student ranks the batch as the teacher does."""

import torch
from torch import Tensor

from dalr.losses.inputs import TermInputs
from dalr.losses.precision import in_full_precision
from dalr.losses.rows import Rows


@in_full_precision
def listmle(scores: Tensor, target_scores: Tensor, rows: Rows | None = None) -> Tensor:
    """The negative log-likelihood of the teacher's order under the student's Plackett-Luce model.

    With π_i the order of row i by falling target score, ties by index: mean over rows of
    Σ_k [ log Σ_{l ≥ k} exp(s_{i,π_i(l)}) − s_{i,π_i(k)} ]. Exact: no epsilon inside the logarithm.

    Args:
        scores: the student's [b, N], cosines over τ; the diagonal is part of the list.
        target_scores: the teacher's [b, N]; only its order counts.
        rows: which of the batch's rows the b are; None: all.

    Returns:
        A scalar ≥ 0; 0 at N = 1.

    Source: Xia et al. 2008, eq. 6; RankCSE (Liu et al. 2023), eq. 6.
    """
    order = target_scores.argsort(dim=-1, descending=True, stable=True)
    ranked = scores.gather(-1, order)
    remaining = ranked.flip(-1).logcumsumexp(-1).flip(-1)
    return (rows or Rows.all_of(scores)).mean((remaining - ranked).sum(-1))


@in_full_precision
def listnet(scores: Tensor, target_scores: Tensor, rows: Rows | None = None) -> Tensor:
    """The cross-entropy of the teacher's and the student's top-one probabilities.

    −mean_i Σ_{j≠i} softmax_{j≠i}(target_i)_j · log softmax_{j≠i}(scores_i)_j.

    Args:
        scores: the student's [b, B], cosines over τ; the diagonal is left out.
        target_scores: the teacher's [b, B], cosines over τ_r; a constant.
        rows: which of the batch's rows the b are; None: all.

    Returns:
        A scalar ≥ 0 (at least the target's entropy); 0 at B = 1.

    Source: Cao et al. 2007; RankCSE (Liu et al. 2023), eq. 5.
    """
    rows = rows or Rows.all_of(scores)
    # The lowest finite number has the probability 0, and 0 times its logarithm is 0; with −inf it would be NaN.
    lowest = torch.finfo(scores.dtype).min
    target = torch.softmax(target_scores.detach().masked_fill(rows.diagonal, lowest), dim=-1)
    return rows.mean((target * -torch.log_softmax(scores.masked_fill(rows.diagonal, lowest), dim=-1)).sum(-1))


def rank(inputs: TermInputs) -> Tensor:
    """The term: s_m(z, z')/τ against the mixed teachers' similarities over τ_r."""
    config, logits = inputs.config, inputs.logits
    target = inputs.teacher_ranking / config.temperature_rank
    if config.rank_loss == "listnet":
        return listnet(logits, target, inputs.rows)
    return listmle(logits, target, inputs.rows) / (inputs.rows.total if config.rank_reduction == "mean" else 1)
