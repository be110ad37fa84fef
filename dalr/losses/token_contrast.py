"""A sentence knows its own words from those of others."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dalr.losses.inputs import TermInputs
from dalr.losses.precision import in_full_precision
from dalr.losses.rows import Rows
from dalr.losses.targets import normalise_tokens


@in_full_precision
def local_global(
    sentences: Tensor, tokens: Tensor, token_mask: Tensor, *, temperature: float, rows: Rows | None = None
) -> Tensor:
    """Contrast of each sentence with its own tokens against the tokens of all other sentences.

    With d_ijt = z_i·token_jt/τ (dot products, no cosine), for each token t of sentence i
    −log( e^{d_iit} / (e^{d_iit} + Σ_{j≠i} Σ_{t'} e^{d_ijt'}) ): the sentence's other own tokens are in
    neither place. Mean over a sentence's tokens, then over sentences.

    The denominators of one sentence share their sum over other sentences, so that one [B, B·L] matrix
    of products is all it takes: memory O(B²L), forward and backward.

    Args:
        sentences: z [b, D].
        tokens: [B, L, D], a teacher's token states.
        token_mask: [B, L], true or 1 where a token is; others count nowhere.
        temperature: τ > 0.
        rows: which of the batch's sentences the b are; None: all.

    Returns:
        A scalar ≥ 0; 0 at B = 1. A sentence without tokens adds 0.

    Source: the token-level objective of DALR, as in the authors' code.
    """
    size, length, width = tokens.shape
    mask, rows = token_mask.bool(), rows or Rows.all_of(sentences)
    logits = (sentences @ tokens.reshape(size * length, width).T / temperature).view(rows.count, size, length)
    own, own_mask = logits.diagonal(rows.first).T, rows.of(mask)
    # The lowest finite number instead of −inf: a sentence without negatives then costs 0, not NaN.
    lowest = torch.finfo(logits.dtype).min
    negatives = logits.masked_fill(rows.diagonal[:, :, None] | ~mask, lowest).flatten(1).logsumexp(-1, keepdim=True)
    losses = F.softplus(negatives - own).masked_fill(~own_mask, 0.0)
    return rows.mean(losses.sum(-1) / own_mask.sum(-1).clamp(min=1))


def local_global_of(inputs: TermInputs) -> Tensor:
    """The term: z against the teachers' normalised token states, mapped to its width where theirs is another."""
    tokens, mask = inputs.tokens
    normalised = normalise_tokens(tokens, mask, inputs.config.token_norm)
    # Mapping the sentence into the tokens' space gives the same products for 1/L of the work.
    sentences = inputs.head("map_tokens").transposed(inputs.rows.of(inputs.z))
    return local_global(sentences, normalised, mask, temperature=inputs.config.temperature, rows=inputs.rows)
