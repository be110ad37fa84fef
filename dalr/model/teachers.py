"""The frozen text teachers: encoders in eval mode whose parameters take no gradient."""

import torch
from torch import Tensor, nn

from dalr.errors import InputError
from dalr.model.attention import attention_mask_for
from dalr.model.loading import load_encoder
from dalr.model.pooling import needs_all_layers, pool


class TextTeacherEncoder(nn.Module):
    """A frozen sentence encoder. It stays in eval mode: `train()` does not reach it."""

    def __init__(self, model: str, pooler: str) -> None:
        super().__init__()
        self.name = model
        self.pooler = pooler
        self.encoder, self.tokenizer = load_encoder(model)
        self.requires_grad_(False).eval()
        if pooler == "cls" and getattr(self.encoder, "pooler", None) is None:
            raise InputError(f"teachers.text: {model} has no pooler layer, or no weights for one; use another pooler")

    def train(self, mode: bool = True) -> "TextTeacherEncoder":
        """Ignores the mode: a teacher has no dropout."""
        return super().train(False)

    def narrow(self) -> None:
        """Keeps the weights of linear layers in bfloat16 from now on. Inside autocast the states are the same to the
        bit: it would round the same weights at every pass."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)

    @property
    def width(self) -> int:
        """The width T of its states and sentence vectors."""
        return self.encoder.config.hidden_size

    @torch.no_grad()
    def sentences(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Sentence vectors: int64 [B, L] each → float32 [B, T]."""
        every = needs_all_layers(self.pooler)
        outputs = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=every)
        return pool(outputs, attention_mask, self.pooler).float()

    @torch.no_grad()
    def tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The last layer's states without the first token: float32 [B, L - 1, T]."""
        mask = attention_mask_for(self.encoder, attention_mask, padded=True)
        outputs = self.encoder(input_ids=input_ids, attention_mask=mask)
        return outputs.last_hidden_state[:, 1:].float()
