"""The objective against an independent implementation's values and gradients (`golden/`), which were
themselves checked against the published DALR code.

Every case holds the student's and the teachers' tensors, the heads' weights, and for a preset-like
configuration each term, the group sums, the total, and the gradients with respect to both views.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dalr.config.schema import ObjectiveConfig
from dalr.data.batches import PairedBatch, TeacherTargets, Views
from dalr.losses.objective import LossTerms, Objective

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))
TERMS = "text grounding_image consistency cross_alignment rank intra_alignment local_global".split()


@dataclass(frozen=True)
class Case:
    expected: dict[str, float]
    tensors: dict[str, Tensor]
    views: Views
    terms: LossTerms


def config_of(params: dict[str, Any]) -> ObjectiveConfig:
    return ObjectiveConfig(
        temperature=params["temp"],
        temperature_vl=params["temp_vl"],
        temperature_rank=params["tau2"],
        alignment_temperature=params["kl_student_tau"],
        target_temperature=params["kl_target_tau"],
        margin_text=params["margin1"],
        margin_vl=params["margin2"],
        consistency_margin=params["consistency_margin"],
        cross_modal=params["w_cross"],
        intra_modal=params["w_intra"],
        rank_loss=params["distillation"],
        weights={
            "grounding_image": 1.0,
            "consistency": params["w_cons"],
            "cross_alignment": 1.0,
            "intra_alignment": 1.0,
            "rank": 1.0,
            "local_global": 1.0,
        },
        token_norm="token_padded",
    )


def batch_of(tensors: dict[str, Tensor], alpha: float) -> PairedBatch:
    ids = torch.zeros_like(tensors["attention_mask"][:, 0])
    return PairedBatch(
        rows=torch.arange(len(ids)),
        input_ids=ids,
        attention_mask=tensors["attention_mask"][:, 0],
        teachers=TeacherTargets(
            sentences=(tensors["teacher1"], tensors["teacher2"]),
            tokens=alpha * tensors["teacher1_tokens"] + (1 - alpha) * tensors["teacher2_tokens"],
            token_mask=tensors["attention_mask"][:, 0, 1:].bool(),
        ),
        images=tensors["image"],
    )


def load_heads(objective: Objective, tensors: dict[str, Tensor]) -> None:
    """The published names are `grounding_text` for G_t and `visn_model.vmlp` for G_v."""
    published = {
        "align_text": "consistency.text_aligner",
        "align_image": "consistency.image_aligner",
        "ground_text.0": "grounding_text.dense",
        "ground_image.0": "visn_model.vmlp.dense",
    }
    for name, parameter in objective.named_parameters():
        head = next(head for head in published if name.startswith(head))
        parameter.data.copy_(tensors[f"weights.{published[head]}{name.removeprefix(head)}"])


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    record = json.loads((GOLDEN / f"{request.param}.json").read_text())
    tensors = load_file(GOLDEN / f"{request.param}.safetensors")
    params = record["params"]
    objective = Objective(
        config_of(params),
        width=params["H"],
        projection_dim=params["P"],
        image_width=params["H"],
        caption_width=None,
        teacher_widths=(params["H"], params["H"]),
        teacher_weights=(params["alpha"], 1 - params["alpha"]),
        token_width=params["H"],
    )
    load_heads(objective, tensors)
    views = Views(tensors["pooled"].requires_grad_(), tensors["projected"].requires_grad_())
    return Case(record["expected"], tensors, views, objective(views, batch_of(tensors, params["alpha"])))


def gradient(value: Tensor, of: Tensor) -> Tensor:
    (result,) = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)
    return torch.zeros_like(of) if result is None else result


def assert_same_gradient(ours: Tensor, golden: Tensor) -> None:
    assert golden.abs().max() > 0
    assert (ours - golden).abs().max() <= 1e-4 * golden.abs().max()


def test_there_are_four_cases() -> None:
    assert CASES == ["listmle_b12", "listmle_b16_hot", "listnet_b12", "near_duplicates_b14"]


def test_every_term_and_sum(case: Case) -> None:
    ours = {name: value.item() for name, value in case.terms.terms.items()}
    ours |= {name: getattr(case.terms, name).item() for name in ("cross_modal", "intra_modal", "total")}
    assert ours == pytest.approx(case.expected, rel=1e-4)


def test_gradient_of_the_total(case: Case) -> None:
    assert_same_gradient(gradient(case.terms.total, case.views.pooled), case.tensors["grad_pooled"])
    assert_same_gradient(gradient(case.terms.total, case.views.projected), case.tensors["grad_projected"])


@pytest.mark.parametrize("term", TERMS)
def test_gradient_of_each_term(case: Case, term: str) -> None:
    terms = case.terms.terms
    if term == "cross_alignment":
        value = (terms["cross_alignment_image"] + terms["cross_alignment_text"]) / 2
    else:
        value = terms[term]
    view = case.views.pooled if term == "grounding_image" else case.views.projected
    assert_same_gradient(gradient(value, view), case.tensors[f"grad_term.{term}"])
