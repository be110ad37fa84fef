"""Where this package computes something else than the authors' code, and by how much: the numbers of
docs/fidelity.md, on the golden batches and on the authors' own formulas."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dalr.config.recipes import RECIPES
from dalr.config.schema import DataConfig, ObjectiveConfig
from dalr.data.batches import Views
from dalr.data.pairing import caption_pairs
from dalr.data.schedule import schedule_of
from dalr.losses.divergence import jensen_shannon
from dalr.losses.objective import Objective
from dalr.losses.ranking import listmle
from dalr.losses.similarity import angular_margin, cosine
from dalr.training.optim import make_optimizer
from tests.dalr.losses.test_golden import GOLDEN, batch_of, config_of, load_heads

DOCUMENT = Path(__file__).parents[3] / "docs" / "fidelity.md"


def case(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return json.loads((GOLDEN / f"{name}.json").read_text()), load_file(GOLDEN / f"{name}.safetensors")


def terms(name: str, **changes: Any) -> dict[str, float]:
    """The terms of a golden batch under a changed objective."""
    record, tensors = case(name)
    params = record["params"]
    objective = Objective(
        ObjectiveConfig(**(config_of(params).model_dump() | changes)),
        width=params["H"],
        projection_dim=params["P"],
        image_width=params["H"],
        caption_width=None,
        teacher_widths=(params["H"], params["H"]),
        teacher_weights=(params["alpha"], 1 - params["alpha"]),
        token_width=params["H"],
    )
    load_heads(objective, tensors)
    made = objective(Views(tensors["pooled"], tensors["projected"]), batch_of(tensors, params["alpha"]))
    return {name: value.item() for name, value in made.terms.items()} | {"total": made.total.item()}


def rank_inputs(name: str) -> tuple[Tensor, Tensor]:
    """The student's and the teachers' scores of a golden batch."""
    record, tensors = case(name)
    params = record["params"]
    z, z2 = tensors["projected"].unbind(1)
    scores = angular_margin(cosine(z, z2), params["margin1"]) / params["temp"]
    mixed = params["alpha"] * cosine(tensors["teacher1"], tensors["teacher1"]) + (1 - params["alpha"]) * cosine(
        tensors["teacher2"], tensors["teacher2"]
    )
    return scores, mixed / params["tau2"]


def published_listmle(scores: Tensor, target: Tensor) -> Tensor:
    """As DALR's and RankCSE's code has it: the row's maximum subtracted, then 1e-7 added inside the logarithm."""
    ranked = scores.gather(-1, target.argsort(dim=-1, descending=True, stable=True))
    shifted = ranked - ranked.max(-1, keepdim=True).values
    remaining = shifted.exp().flip(-1).cumsum(-1).flip(-1)
    return ((remaining + 1e-7).log() - shifted).sum(-1).mean()


def assert_documented(*numbers: str) -> None:
    """The page says what is measured here."""
    page = DOCUMENT.read_text(encoding="utf-8")
    for number in numbers:
        assert number in page


@pytest.mark.parametrize(("name", "percent"), [("listmle_b12", "4.14 %"), ("listmle_b16_hot", "0.005 %")])
def test_listmle_without_the_published_epsilon(name: str, percent: str) -> None:
    record, _ = case(name)
    published, expected = record["published_code"]["rank"], record["expected"]["rank"]
    scores, target = rank_inputs(name)
    assert published_listmle(scores, target).item() == pytest.approx(published, rel=1e-4)
    assert listmle(scores, target).item() == pytest.approx(expected, rel=1e-4)
    assert 100 * (published / expected - 1) == pytest.approx(float(percent.split()[0]), abs=0.005)
    assert_documented(percent)


def test_entries_far_below_the_best_keep_their_push() -> None:
    """Of two entries about 20 below the row's maximum the last is pushed down; over the epsilon it is pulled up."""
    scores = torch.tensor([[0.0, -20.0, -20.5]], requires_grad=True)
    target = torch.tensor([[3.0, 2.0, 1.0]])
    (ours,) = torch.autograd.grad(listmle(scores, target), scores)
    (published,) = torch.autograd.grad(published_listmle(scores, target), scores)
    assert ours[0, 2].item() == pytest.approx(0.378, abs=0.001)
    assert published[0, 2].item() == pytest.approx(-0.976, abs=0.001)
    assert_documented("0.378", "−0.976")


@pytest.mark.parametrize(
    ("norm", "local_global", "total"),
    [("token_padded", "56.51", "27.96"), ("token", "62.71", "29.20"), ("feature", "29.75", "22.61")],
)
def test_norms_of_token_states(norm: str, local_global: str, total: str) -> None:
    made = terms("listmle_b12", token_norm=norm)
    assert (f"{made['local_global']:.2f}", f"{made['total']:.2f}") == (local_global, total)
    assert_documented(f"| `{norm}` | {local_global} | {total} |")


def test_the_mean_over_a_list_is_the_sum_by_its_length() -> None:
    summed, mean = terms("listmle_b12"), terms("listmle_b12", rank_reduction="mean")
    assert mean["rank"] == pytest.approx(summed["rank"] / 12)
    assert mean["total"] == pytest.approx(summed["total"] - 0.2 * (summed["rank"] - mean["rank"]), rel=1e-5)
    assert terms("listnet_b12", rank_reduction="mean") == terms("listnet_b12")


def to_tf32(factor: Tensor) -> Tensor:
    """float32 rounded to the 10 bits of mantissa that TF32 multiplies with."""
    bits = factor.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


class MatrixProducts(TorchDispatchMode):
    """Rounds what goes into each matrix product, and in half precision what comes out of it."""

    def __init__(self, arithmetic: str) -> None:
        super().__init__()
        self.products = 0
        self.half = None if arithmetic == "tf32" else getattr(torch, arithmetic)

    def rounded(self, factor: Any) -> Any:
        if not isinstance(factor, Tensor):
            return factor
        return to_tf32(factor) if self.half is None else factor.to(self.half).float()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if func not in (aten.mm.default, aten.bmm.default, aten.addmm.default):
            return func(*args, **(kwargs or {}))
        self.products += 1
        product = func(*map(self.rounded, args), **(kwargs or {}))
        return product if self.half is None else self.rounded(product)


@pytest.mark.parametrize(
    ("arithmetic", "of_a_term", "of_the_total"),
    [("tf32", 0.1, 0.01), ("float16", 1, 0.01), ("bfloat16", 1, 0.1)],
)
def test_the_arithmetic_of_the_objectives_products(arithmetic: str, of_a_term: float, of_the_total: float) -> None:
    worst_term = worst_total = 0.0
    for name in sorted(path.stem for path in GOLDEN.glob("*.json")):
        exact = terms(name)
        with MatrixProducts(arithmetic) as mode:
            rounded = terms(name)
        assert mode.products
        percent = {term: 100 * abs(rounded[term] / exact[term] - 1) for term in exact if exact[term]}
        worst_total = max(worst_total, percent.pop("total"))
        worst_term = max(worst_term, *percent.values())
    assert 0 < worst_term < of_a_term
    assert 0 < worst_total < of_the_total
    assert_documented(f"| {arithmetic} | below {of_a_term} % | below {of_the_total} % |")


@pytest.mark.parametrize(("eps", "percent"), [(1e-6, "1.66 %"), (1e-8, "0.02 %")])
def test_adams_epsilon_shortens_the_first_update(eps: float, percent: str) -> None:
    """A first update is rate · g/(|g| + eps). The golden gradient is scaled as clipping leaves it: norm 1 over the 110
    million parameters of a base encoder."""
    _, tensors = case("listmle_b12")
    gradient = tensors["grad_projected"].flatten().double()
    gradient = gradient / gradient.square().mean().sqrt() / 110e6**0.5
    shortened = (eps / (gradient.abs() + eps)).median().item()
    assert f"{100 * shortened:.2f} %" == percent
    assert_documented(percent)


def test_the_published_recipes_have_the_authors_epsilon() -> None:
    for name, recipe in RECIPES.items():
        assert recipe().optim.eps == (1e-8 if name == "quickstart" else 1e-6)
    model = torch.nn.Linear(2, 2)
    assert make_optimizer([model], RECIPES["dalr"]().optim).defaults["eps"] == 1e-6


def test_the_divergence_of_the_published_port_is_an_entropy() -> None:
    """It clamps log m from below at 1e-7, so log m is 1e-7 everywhere and what is left is −H."""
    _, tensors = case("listmle_b12")
    z, z2 = tensors["projected"].unbind(1)
    logits = cosine(z, z2) / 0.05
    p, q = logits.softmax(-1), logits.T.softmax(-1)
    kl = torch.nn.KLDivLoss(reduction="batchmean", log_target=True)
    m = (0.5 * (p + q)).log().clamp(min=1e-7)
    published = 0.5 * (kl(m, p.log()) + kl(m, q.log()))
    entropy = -0.5 * ((p * p.log()).sum(-1) + (q * q.log()).sum(-1)).mean()
    assert published.item() == pytest.approx(-entropy.item(), abs=1e-5)
    assert published < 0 < jensen_shannon(logits, logits.T)
    assert_documented(f"−{entropy.item():.4f}", f"{jensen_shannon(logits, logits.T).item():.6f}")


def test_images_that_meet_themselves_in_a_batch() -> None:
    """Flickr30k's 29,000 training images with 5 captions each, batch 128, one epoch: plain shuffling against ours."""
    images = np.repeat(np.arange(29_000), 5)
    pairs = caption_pairs(images, 128, 1133)

    def repeated(order: np.ndarray) -> int:
        batches = (order[start:end] for start, end in zip(pairs.starts[:-1], pairs.starts[1:], strict=True))
        return sum(len(batch) - len(set(images[batch].tolist())) for batch in batches)

    assert repeated(pairs.order([1, 1, 0])) == 0
    assert repeated(np.random.default_rng(0).permutation(len(images))) == 251
    assert_documented("251 of 145,000")


@pytest.mark.parametrize(("pairs", "epochs", "published", "ours"), [(145_000, 4, 5964, 5964), (155_070, 4, 6020, 6017)])
def test_where_an_epoch_begins(pairs: int, epochs: int, published: int, ours: int) -> None:
    """The authors count steps anew in each epoch; here step 0, n, 2n, ... of the run are paired."""
    schedule = schedule_of(
        DataConfig(text="t", captions="c"), sentences=1_000_000, pairs=pairs, batch_size=128, most_of_an_image=5
    )
    each = -(-schedule.steps_per_epoch // 6)
    assert epochs * each == published
    assert sum(schedule.is_paired(step) for step in range(epochs * schedule.steps_per_epoch)) == ours
    assert_documented(f"{published:,}", f"{ours:,}")
