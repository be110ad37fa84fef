"""The mask that an encoder's attention gets: made once a pass, not once a layer, and without a wait for the GPU."""

import sys

import torch
from torch import Tensor
from transformers import PreTrainedModel

PACKED = "dalr-packed"
"""The name of an attention that is torch's own, for padded rows and for packed tokens (`dalr.model.packing`)."""


def attention_mask_for(encoder: PreTrainedModel, mask: Tensor, *, padded: bool) -> Tensor | None:
    """What to pass as `attention_mask` for a padding mask of 0 and 1, int64 [B, L].

    An encoder whose every layer attends to all tokens takes the additive mask itself, [B, 1, 1, L] in the
    dtype of its attention (0, and the lowest number at padding), or None where nothing is padded. Given the
    padding mask, `transformers` would read it back from the device to see whether anything is padded, and
    every layer would turn a mask of booleans into numbers anew. Other encoders (windows of attention, masks
    of their own) get the padding mask.

    Args:
        encoder: the encoder that gets it.
        mask: 1 where a token is.
        padded: whether any entry is 0; the caller knows the lengths.
    """
    if not takes_additive_mask(encoder):
        return mask
    if not padded:
        return None
    device = mask.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    return (1 - mask[:, None, None, :].to(dtype)) * torch.finfo(dtype).min


def takes_additive_mask(encoder: PreTrainedModel) -> bool:
    """Whether the encoder hands a mask of four dimensions to its layers as it is: it makes its mask by
    `transformers.masking_utils.create_bidirectional_mask`, alone, for one of torch's own kinds of attention."""
    names = vars(sys.modules[type(encoder).__module__])
    sliding = any("sliding" in name for name in names if name.startswith("create_"))
    return (
        "create_bidirectional_mask" in names
        and not sliding
        and not hasattr(encoder.config, "attention_window")  # Longformer reads its mask itself
        and encoder.config._attn_implementation in ("sdpa", "eager", PACKED)
    )
