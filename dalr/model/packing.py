"""Sentences without their padding: the tokens of a batch one after another, for all of an encoder but its attention.

An encoder's linear maps, norms and activations see each token by itself, so that they need no rows. Attention does: it
gets its queries, keys and values padded, and its result is packed again. `torch.nn.attention.varlen` would need no
padding there either, but drops nothing out, which training does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from dalr.data.batches import to_device
from dalr.errors import InputError
from dalr.model.attention import PACKED, attention_mask_for, takes_additive_mask
from dalr.model.loading import quiet_transformers


@dataclass(frozen=True)
class Packing:
    """Where the n tokens of b sentences lie in a batch padded to L.

    `places`: int64 [n], each token's place among the b·L. `tokens`: int64 [b·L], the token at each place, 0 at padding.
    `positions`: int64 [n], each token's position as the encoder counts it.
    """

    places: Tensor
    tokens: Tensor
    positions: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], width: int, *, first: int, device: torch.device) -> "Packing":
        """The packing of sentences of these lengths, padded to `width`; `first` is the position of a sentence's first
        token. One copy to the device, which nothing waits for."""
        there = np.arange(width) < np.asarray(lengths)[:, None]
        places = np.flatnonzero(there)
        tokens = np.zeros(there.size, np.int64)
        tokens[places] = np.arange(len(places))
        numbers = to_device(torch.from_numpy(np.concatenate([places, tokens, places % width + first])), device)
        return cls(*numbers.split([len(places), there.size, len(places)]))

    def padded(self, values: Tensor) -> Tensor:
        """[n, ...] → [b·L, ...]; what stands at padding means nothing, and its gradient is not used."""
        return _Padded.apply(values, self.tokens, self.places)

    def packed(self, values: Tensor) -> Tensor:
        """[b·L, ...] → [n, ...]."""
        return _Packed.apply(values, self.places)


class _Padded(torch.autograd.Function):
    """Both ways by reading: autograd's own would add, on a GPU in no fixed order."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, tokens: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return values.index_select(0, tokens)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].index_select(0, places), None, None


class _Packed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.rows = len(values)
        return values.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        gradient = gradients[0]
        return gradient.new_zeros(ctx.rows, *gradient.shape[1:]).index_copy_(0, places, gradient), None


def encode_packed(encoder: PreTrainedModel, words: Tensor, mask: Tensor, packing: Packing) -> Tensor:
    """The last layer's states [b, L, D] of packed word vectors [n, D]; at padding they mean nothing.

    Args:
        encoder: one that `pack` prepared.
        words: the word vectors of the tokens.
        mask: int64 [b, L], 1 where a token is; somewhere there is none.
        packing: of the same tokens.
    """
    outputs = encoder(
        inputs_embeds=words[None],
        position_ids=packing.positions[None],
        attention_mask=attention_mask_for(encoder, mask, padded=True),
        packing=packing,
    )
    return packing.padded(outputs.last_hidden_state.squeeze(0)).view(*mask.shape, -1)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packing: Packing | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """`transformers`' attention by torch. Tokens that come packed, [1, heads, n, d], it pads, and packs its result."""
    if packing is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    assert attention_mask is not None
    rows, width = len(attention_mask), attention_mask.shape[-1]

    def padded(values: Tensor) -> Tensor:
        return packing.padded(values.squeeze(0).transpose(0, 1)).unflatten(0, (rows, width)).transpose(1, 2)

    mixed, _ = sdpa_attention_forward(module, padded(query), padded(key), padded(value), attention_mask, **options)
    return packing.packed(mixed.flatten(0, 1))[None], None


def first_position(encoder: PreTrainedModel) -> int:
    """The position of a sentence's first token: RoBERTa's kind counts from behind its padding's index."""
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def pack(encoder: PreTrainedModel) -> None:
    """Prepares an encoder for `encode_packed`; whatever else is asked of it, it answers as before. Its states of three
    tokens must be those that it gives them padded.

    Raises:
        InputError: they are not, or it cannot: its positions are relative, its attention has windows or its own ways.
    """
    AttentionInterface.register(PACKED, _attention)
    AttentionMaskInterface.register(PACKED, sdpa_mask)
    if not takes_additive_mask(encoder):
        raise InputError(_refusal(encoder, "its attention is not torch's over all tokens"))
    encoder.config._attn_implementation = PACKED
    training = encoder.training
    encoder.eval()
    try:
        same = _states_are_the_same(encoder)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise InputError(_refusal(encoder, " ".join(str(error).split())[:120])) from error
    finally:
        encoder.train(training)
    if not same:
        raise InputError(_refusal(encoder, "its states of packed tokens are others"))


def _states_are_the_same(encoder: PreTrainedModel) -> bool:
    device = next(encoder.parameters()).device
    mask = torch.tensor([[1, 1], [1, 0]], device=device)
    ids = torch.tensor([[1, 2], [3, 0]], device=device)
    packing = Packing.of([2, 1], 2, first=first_position(encoder), device=device)
    with torch.no_grad(), quiet_transformers():
        words = encoder.get_input_embeddings()(ids)
        additive = attention_mask_for(encoder, mask, padded=True)
        expected = encoder(inputs_embeds=words, attention_mask=additive).last_hidden_state
        states = encode_packed(encoder, packing.packed(words.flatten(0, 1)), mask, packing)
    there = mask.bool()
    return torch.allclose(states[there], expected[there], rtol=1e-3, atol=1e-4)


def _refusal(encoder: PreTrainedModel, reason: str) -> str:
    return f"train.length_groups: packed does not suit {type(encoder).__name__}: {reason}; set it to auto"
