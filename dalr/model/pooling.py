"""From an encoder's states to one vector a sentence."""

from typing import Any

import torch
from torch import Tensor

from dalr.extensions import added

NEEDS_ALL_LAYERS = frozenset({"avg_top2", "avg_first_last", "avg_embeddings_last"})
"""The package's poolers that read other layers than the last."""


def needs_all_layers(pooler: str) -> bool:
    """Whether a pooler reads other layers than the last: run the encoder with `output_hidden_states`."""
    return pooler in NEEDS_ALL_LAYERS or added("pooler").get(pooler, (None, False))[1]


def masked_mean(states: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean over unmasked tokens: states [B, L, D], mask [B, L] of 0 and 1 → [B, D]."""
    mask = attention_mask.unsqueeze(-1).to(states.dtype)
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1.0)


def pool(outputs: Any, attention_mask: Tensor, pooler: str) -> Tensor:
    """The sentence vectors [B, D] of a transformers model's outputs.

    `cls` is the model's own pooler output (dense + tanh over the first token), `cls_before_pooler`
    the first token's last state, `avg` the masked mean of the last layer, `avg_top2` of the mean of
    the last two layers. `avg_first_last` averages the first layer with the last, as SimCSE does since
    October 2024; `avg_embeddings_last` averages the embedding layer with the last, as SimCSE did
    before and MCSE, KDMCSE and DALR do. Other names are of the user's own modules.
    """
    last = outputs.last_hidden_state
    match pooler:
        case "cls":
            if getattr(outputs, "pooler_output", None) is None:
                raise ValueError("pooler `cls` needs a model with a pooler layer; use cls_before_pooler")
            return outputs.pooler_output
        case "cls_before_pooler":
            return last[:, 0]
        case "avg":
            return masked_mean(last, attention_mask)
        case "avg_top2":
            return masked_mean(torch.stack(outputs.hidden_states[-2:]).mean(0), attention_mask)
        case "avg_first_last":
            return masked_mean((outputs.hidden_states[1] + last) / 2, attention_mask)
        case "avg_embeddings_last":
            return masked_mean((outputs.hidden_states[0] + last) / 2, attention_mask)
        case _:
            function, _ = added("pooler")[pooler]
            return function(outputs, attention_mask)
