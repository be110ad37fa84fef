"""How far two distributions are apart."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dalr.losses.inputs import TermInputs
from dalr.losses.precision import in_full_precision
from dalr.losses.rows import Rows
from dalr.losses.similarity import cosine


@in_full_precision
def jensen_shannon(p_logits: Tensor, q_logits: Tensor, rows: Rows | None = None) -> Tensor:
    """The Jensen-Shannon divergence of softmax rows: ½KL(p‖m) + ½KL(q‖m), m = ½(p + q), mean over rows.

    Args:
        p_logits: [b, N].
        q_logits: [b, N].
        rows: which of the batch's rows the b are; None: all.

    Returns:
        A scalar in [0, log 2] (natural logarithm); 0 where both are equal and at N = 1.

    Source: Lin 1991, eq. 4.1; the dropout consistency of RankCSE (Liu et al. 2023), eq. 4, whose
    published code clamps log m and so minimises an entropy instead.
    """
    log_p, log_q = torch.log_softmax(p_logits, dim=-1), torch.log_softmax(q_logits, dim=-1)
    both = _to_mixture(log_p, log_q) + _to_mixture(log_q, log_p)
    return 0.5 * (rows or Rows.all_of(p_logits)).mean(both)


def _to_mixture(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ ½(p + q)) of each row [B], from log p/m = log 2 − log(1 + q/p): exactly 0 at p = q."""
    return (log_p.exp() * (math.log(2) - F.softplus(log_q - log_p))).sum(-1)


def dropout_consistency(inputs: TermInputs) -> Tensor:
    """The term: the rows of s(z, z')/τ against those of s(z', z)/τ."""
    rows, temperature = inputs.rows, inputs.config.temperature
    swapped = inputs.cosines.T if rows.are_all else cosine(rows.of(inputs.z2), inputs.z)
    return jensen_shannon(inputs.cosines / temperature, swapped / temperature, rows)
