"""No NaN and no infinity, forward or backward, on degenerate batches in float32 and bfloat16."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dalr.config.schema import ObjectiveConfig
from dalr.data.batches import Views
from dalr.losses import (
    consistency,
    grounding_contrast,
    info_nce,
    jensen_shannon,
    listmle,
    listnet,
    local_global,
    soft_alignment,
)
from dalr.losses.similarity import angular_margin, cosine
from dalr.losses.terms import TERMS
from tests.dalr.losses.batches import WIDTH, make_batch, make_objective
from tests.dalr.losses.sampling import finite_with_gradient, rows

TEMPERATURES = [0.01, 0.05, 1.0]
KINDS = {
    "one": rows(1),
    "two": rows(2),
    "identical": rows(1).repeat(5, 1),
    "opposite": torch.cat([rows(1), -rows(1)]).repeat(2, 1),
    "zero": torch.zeros(4, WIDTH),
    "some_zero": torch.cat([rows(3), torch.zeros(2, WIDTH)]),
    "tiny": rows(4) * 1e-20,
    "short": rows(4) * 1e-6,
    "long": rows(4) * 1e6,
    "axes": torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)]),
}


def terms(temperature: float) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Every term as a function of two sets of rows."""

    def scores(x: Tensor, y: Tensor) -> Tensor:
        return angular_margin(cosine(x, y), 0.18) / temperature

    return {
        "info_nce": lambda x, y: info_nce(x, y, temperature=temperature, margin=0.18),
        "tiny_margin": lambda x, y: info_nce(x, y, temperature=temperature, margin=1e-4),
        "grounding_contrast": lambda x, y: grounding_contrast(
            x,
            y,
            temperature=temperature,
            margin=0.18,
            similarity=cosine(y, y),
            excluded=torch.ones(len(y), len(y), dtype=torch.bool).tril(),
        ),
        "consistency": consistency,
        "soft_alignment": lambda x, y: soft_alignment(
            scores(x, y), cosine(y, y), temperature=0.45, target_temperature=temperature, softening=0.5
        ),
        "hard_alignment": lambda x, y: soft_alignment(
            scores(x, y), cosine(y, y), temperature=0.01, target_temperature=temperature, softening=0.0
        ),
        "listmle": lambda x, y: listmle(scores(x, y), cosine(y, y)),
        "listnet": lambda x, y: listnet(scores(x, y), cosine(y, y) / temperature),
        "local_global": lambda x, y: local_global(
            x,
            torch.stack([y, x], 1) / (1 + y.detach().abs().max()),
            torch.tensor([[True, False]]).expand(len(y), 2),
            temperature=temperature,
        ),
        "jensen_shannon": lambda x, y: jensen_shannon(scores(x, y), scores(y, x)),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("term", terms(1.0))
def test_degenerate_rows_in_float32(term: str, kind: str) -> None:
    x = KINDS[kind].float()
    for temperature in TEMPERATURES:
        for partner in (x, -x, x + rows(*x.shape, seed=7).float()):
            assert finite_with_gradient(terms(temperature)[term], x, partner) >= -1e-6


@pytest.mark.parametrize("term", terms(1.0))
def test_bfloat16_inputs_under_autocast(term: str) -> None:
    for x in KINDS.values():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = finite_with_gradient(terms(0.01)[term], x.bfloat16(), -x.bfloat16())
        assert value.dtype == torch.float32


def test_autocast_changes_no_digit() -> None:
    x, y = rows(8).float(), rows(8, seed=1).float()
    for name, term in terms(0.05).items():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = term(x, y)
        outside = term(x, y)
        assert torch.equal(inside, outside), name


def everything(temperature: float) -> ObjectiveConfig:
    weights = dict.fromkeys(TERMS, 1.0)
    return ObjectiveConfig(
        temperature=temperature,
        temperature_vl=temperature,
        temperature_rank=temperature,
        alignment_temperature=temperature,
        target_temperature=temperature,
        eta=0.5,
        softening=0.5,
        margin_text=0.18,
        margin_vl=0.18,
        threshold=0.5,
        cross_modal=1.0,
        intra_modal=1.0,
        weights=weights,
    )


@pytest.mark.parametrize("temperature", [0.01, 0.05])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_objective_and_its_heads(kind: str, autocast: bool, temperature: float) -> None:
    x = KINDS[kind].float()
    batch = make_batch(len(x), image_width=9, caption_width=9, token_width=7)
    objective = make_objective(everything(temperature), batch).float()
    batch = type(
        batch
    )(
        batch.rows,
        batch.input_ids,
        batch.attention_mask,
        teachers=type(batch.teachers)(
            tuple(t.float() for t in batch.teachers.sentences),
            batch.teachers.tokens.float(),  # type: ignore[union-attr]
            batch.teachers.token_mask,
        ),
        images=batch.images[:1].repeat(len(x), 1).float(),  # type: ignore[index]
        captions=batch.captions.float(),  # type: ignore[union-attr]
    )

    def total(pooled: Tensor, projected: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            return objective(Views(pooled, projected), batch).total

    both = torch.stack([x, x], 1)
    value = finite_with_gradient(total, both, both)
    assert value.dtype == torch.float32
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
