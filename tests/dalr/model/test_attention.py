"""The mask that attention gets is the padding mask in the form that costs least; encoders with windows keep theirs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    RobertaConfig,
)

from dalr.model.attention import attention_mask_for, takes_additive_mask
from dalr.model.loading import load_encoder
from tests.tiny import write_tiny_bert, write_tiny_roberta

SMALL = {"vocab_size": 60, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONFIGS: dict[str, tuple[PretrainedConfig, bool]] = {
    "bert": (BertConfig(hidden_size=16, **SMALL), True),
    "roberta": (RobertaConfig(hidden_size=16, **SMALL), True),
    "distilbert": (DistilBertConfig(vocab_size=60, dim=16, n_layers=2, n_heads=2, hidden_dim=32), True),
    "mpnet": (MPNetConfig(hidden_size=16, **SMALL), True),
    # Windows: a mask given to all layers would let its local ones see everything.
    "modernbert": (ModernBertConfig(hidden_size=16, pad_token_id=0, local_attention=4, **SMALL), False),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_encoder_sees_its_tokens_alone(name: str) -> None:
    config, additive = CONFIGS[name]
    encoder = AutoModel.from_config(config).eval()
    assert takes_additive_mask(encoder) == additive
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 60, (3, 12), generator=generator)
    mask = (torch.arange(12) < torch.tensor([12, 7, 3])[:, None]).long()
    with torch.no_grad():
        plain = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        ours = encoder(input_ids=ids, attention_mask=attention_mask_for(encoder, mask, padded=True)).last_hidden_state
        whole = encoder(
            input_ids=ids[:1], attention_mask=attention_mask_for(encoder, mask[:1], padded=False)
        ).last_hidden_state
    torch.testing.assert_close(ours[mask.bool()], plain[mask.bool()], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(whole, plain[:1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("write", [write_tiny_bert, write_tiny_roberta])
def test_encoders_are_opened_with_torchs_own_attention(write: Callable[[Path], None], tmp_path: Path) -> None:
    """Which a GPU has fused kernels for."""
    write(tmp_path)
    assert load_encoder(str(tmp_path))[0].config._attn_implementation == "sdpa"


def test_the_mask_is_of_the_attention_s_dtype() -> None:
    encoder = AutoModel.from_config(CONFIGS["bert"][0])
    mask = torch.tensor([[1, 1, 0]])
    plain = attention_mask_for(encoder, mask, padded=True)
    with torch.autocast("cpu", torch.bfloat16):
        half = attention_mask_for(encoder, mask, padded=True)
    assert plain is not None
    assert half is not None
    assert (plain.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    assert plain.flatten().tolist() == [0.0, 0.0, torch.finfo(torch.float32).min]
