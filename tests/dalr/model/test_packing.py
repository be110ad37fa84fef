"""Packed tokens: the vectors and gradients of padded rows, and nothing but attention computed for padding."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    BertConfig,
    CamembertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    XLMRobertaConfig,
)

from dalr.config.schema import ModelConfig
from dalr.errors import InputError
from dalr.model.attention import attention_mask_for
from dalr.model.packing import pack
from dalr.model.student import Student, export, make_student

SMALL = {"vocab_size": 60, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
OWN = {"pad_token_id": 1, "max_position_embeddings": 40}
SUITED: dict[str, PretrainedConfig] = {
    "bert": BertConfig(hidden_size=16, **SMALL),
    "electra": ElectraConfig(hidden_size=16, embedding_size=16, **SMALL),
    "roberta": RobertaConfig(hidden_size=16, **OWN, **SMALL),
    "xlm-roberta": XLMRobertaConfig(hidden_size=16, **OWN, **SMALL),
    "camembert": CamembertConfig(hidden_size=16, **OWN, **SMALL),
}
NOT_SUITED: dict[str, PretrainedConfig] = {
    # Positions relative to each other, windows of attention.
    "mpnet": MPNetConfig(hidden_size=16, **SMALL),
    "modernbert": ModernBertConfig(hidden_size=16, pad_token_id=0, local_attention=4, **SMALL),
}
LENGTHS = [12, 7, 3, 12, 1]


def encoder_of(config: PretrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModel.from_config(config)


def batch() -> tuple[Tensor, Tensor]:
    """Five sentences, token ids and mask [5, 14]: wider than the longest."""
    mask = (torch.arange(14) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(5, 60, mask.shape, generator=torch.Generator().manual_seed(0))
    return torch.where(mask == 1, ids, 1), mask


def gradients(student: Student, groups: object) -> tuple[Tensor, dict[str, Tensor]]:
    """The views, [5, 4, D], and the gradient of a function of them."""
    student.zero_grad()
    views = student(*batch(), groups=groups, lengths=LENGTHS)  # type: ignore[arg-type]
    both = torch.cat([views.pooled, views.projected], dim=1)
    (both * torch.linspace(-1, 1, both.numel()).view_as(both)).sum().backward()
    return both.detach(), {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("pooler", ["cls_before_pooler", "avg"])
@pytest.mark.parametrize("name", SUITED)
def test_vectors_and_gradients_are_those_of_padded_rows(name: str, pooler: str) -> None:
    student = Student(encoder_of(SUITED[name]), pooler).eval()  # type: ignore[arg-type]
    student.pack_tokens()
    padded, expected = gradients(student, 1)
    packed, found = gradients(student, "packed")
    torch.testing.assert_close(packed, padded, atol=1e-6, rtol=1e-5)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(
            found[key], gradient, atol=2e-6, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_every_map_sees_the_tokens_alone() -> None:
    student = Student(encoder_of(SUITED["bert"]), "avg").train()
    student.pack_tokens()
    shapes = set()
    for name, module in student.encoder.named_modules():
        if isinstance(module, torch.nn.Linear) and "pooler" not in name:
            module.register_forward_hook(lambda module, args, output: shapes.add(tuple(args[0].shape[:-1])))
    student(*batch(), groups="packed", lengths=LENGTHS)
    assert shapes == {(1, 2 * sum(LENGTHS))}


def test_the_passes_drop_different_units_and_a_seed_the_same() -> None:
    config = BertConfig(hidden_size=16, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3, **SMALL)
    student = Student(encoder_of(config), "avg").train()
    student.pack_tokens()
    encode = partial(student, *batch(), groups="packed", lengths=LENGTHS)
    torch.manual_seed(3)
    first = encode().projected
    torch.manual_seed(3)
    with torch.no_grad():
        assert torch.equal(encode().projected, first)
    assert not torch.allclose(first[:, 0], first[:, 1])


def test_rows_without_padding_are_encoded_as_ever() -> None:
    student = Student(encoder_of(SUITED["bert"]), "avg").eval()
    student.pack_tokens()
    ids = torch.randint(5, 60, (3, 6), generator=torch.Generator().manual_seed(0))
    views = [student(ids, torch.ones_like(ids), groups=groups, lengths=[6] * 3) for groups in (1, "packed")]
    assert torch.equal(views[0].projected, views[1].projected)


@pytest.mark.parametrize("name", SUITED)
def test_what_else_the_encoder_is_asked_it_answers_as_before(name: str) -> None:
    """In evaluation, with and without a mask made beforehand."""
    encoder = encoder_of(SUITED[name]).eval()
    ids, mask = batch()

    def states() -> list[Tensor]:
        masks = (mask, attention_mask_for(encoder, mask, padded=True), None)
        with torch.no_grad():
            return [encoder(input_ids=ids, attention_mask=one).last_hidden_state for one in masks]

    before = states()
    pack(encoder)
    assert all(torch.equal(*pair) for pair in zip(before, states(), strict=True))


@pytest.mark.parametrize("name", NOT_SUITED)
def test_an_encoder_that_does_not_suit_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"^train\.length_groups: packed does not suit .*; set it to auto$"):
        pack(encoder_of(NOT_SUITED[name]))


def test_the_exported_model_does_not_tell(tiny_bert: Path, tmp_path: Path) -> None:
    student, tokenizer = make_student(ModelConfig(student=str(tiny_bert)))
    student.pack_tokens()
    export(student, tokenizer, tmp_path / "model")
    assert "packed" not in json.dumps(json.loads((tmp_path / "model" / "config.json").read_text()))
    AutoModel.from_pretrained(tmp_path / "model")
