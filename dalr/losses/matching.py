"""The auxiliary task: does this sentence belong to this image?"""

import torch
from torch import Tensor

from dalr.losses.inputs import TermInputs
from dalr.losses.precision import in_full_precision
from dalr.losses.similarity import unit


@in_full_precision
def consistency(text: Tensor, images: Tensor, *, margin: float = 0.2, shift: int = 5) -> Tensor:
    """Cosine embedding loss over matched and shifted pairs, one mean over all of them.

    With c(i, j) = cos(a_i, b_j): the mean of 1 − c(i, i) and max(0, c(i, (i − k) mod B) − margin) over
    2B values. The shift k is taken mod B, and is 1 where that is 0.

    Args:
        text: a [B, P], of any length.
        images: b [B, P], of any length; row i belongs to sentence i.
        margin: the cosine in [-1, 1] below which an unmatched pair costs nothing.
        shift: how far images are rolled down to make unmatched pairs (`images.roll(shift, 0)`).

    Returns:
        A scalar in [0, 2]; at B = 1 of the matched pair alone.

    Source: the cross-modal consistency task of DALR, as in the authors' code.
    """
    a, b = unit(text), unit(images)
    matched = 1 - (a * b).sum(-1)
    if len(a) == 1:
        return matched.mean()
    step = shift % len(a) or 1
    unmatched = ((a * b.roll(step, 0)).sum(-1) - margin).clamp(min=0)
    return torch.cat([matched, unmatched]).mean()


def consistency_of(inputs: TermInputs) -> Tensor:
    """The term: a = A_t(z), b = A_v(v)."""
    return consistency(*inputs.aligned, margin=inputs.config.consistency_margin)
