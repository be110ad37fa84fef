"""What the frozen teachers say of a batch, as the objective uses it: mixed, normalised, constant."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from dalr.losses.rows import Rows
from dalr.losses.similarity import SHORTEST, self_similarity, unit

TokenNorm = Literal["feature", "token", "token_padded"]


class TeacherMix:
    """Several text teachers as one, with weights normalised to sum 1; teachers of weight 0 are left out.

    Args:
        widths: the teachers' embedding widths, in the order of the batch's `sentences`.
        weights: their weights, ≥ 0, at least one above 0.
    """

    def __init__(self, widths: Sequence[int], weights: Sequence[float]) -> None:
        total = sum(weights)
        self.shares = {k: weight / total for k, weight in enumerate(weights) if weight > 0}
        self.one_width = len({widths[k] for k in self.shares}) == 1

    def rank_similarity(self, sentences: Sequence[Tensor], rows: Rows | None = None) -> Tensor:
        """Σ_k α_k s(t^k, t^k) [b, B] of each teacher's [B, T_k], of `rows` with all; None: [B, B]."""
        parts = [share * self_similarity(sentences[k], rows) for k, share in self.shares.items()]
        return torch.stack(parts).sum(0)

    def similarity(self, sentences: Sequence[Tensor], rows: Rows | None = None) -> Tensor:
        """s(t, t) [b, B] of the mixed embeddings t = Σ_k α_k t^k, of `rows` with all; where the teachers'
        widths differ, the mixed similarities."""
        if not self.one_width:
            return self.rank_similarity(sentences, rows)
        mixed = torch.stack([share * sentences[k] for k, share in self.shares.items()]).sum(0)
        return self_similarity(mixed, rows)


def normalise_tokens(tokens: Tensor, token_mask: Tensor, norm: TokenNorm) -> Tensor:
    """A teacher's token states [B, L, T], normalised for `local_global`.

    `feature`: each token to unit length. `token`: each feature over the sentence's unmasked tokens
    (token_mask bool [B, L]). `token_padded`: each feature over all L positions, as published; it
    depends on how far the batch is padded.
    """
    match norm:
        case "feature":
            return unit(tokens)
        case "token_padded":
            return unit(tokens, dim=1)
        case "token":
            present = tokens * token_mask.unsqueeze(-1)
            norms = torch.linalg.vector_norm(present, dim=1, keepdim=True)
            return tokens / torch.where(norms > SHORTEST, norms, 1.0)
