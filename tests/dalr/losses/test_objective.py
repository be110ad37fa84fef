"""The objective's wiring, term by term, against the plain loops: what the golden values do not cover."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dalr.config.schema import ObjectiveConfig
from dalr.data.batches import Views
from dalr.errors import InputError
from dalr.losses.objective import Objective
from tests.dalr.losses import oracles
from tests.dalr.losses.batches import as_text, make_batch, make_objective, make_views, permuted
from tests.dalr.losses.sampling import permutation

GROUPS = {
    "grounding_image": "cross_modal",
    "grounding_text": "cross_modal",
    "consistency": "cross_modal",
    "cross_alignment": "cross_modal",
    "intra_alignment": "intra_modal",
    "rank": "intra_modal",
    "local_global": "intra_modal",
    "dropout_consistency": "intra_modal",
}


def only(*terms: str, **other: Any) -> ObjectiveConfig:
    """A configuration with these terms and margins that matter."""
    settings = {"cross_modal": 0.3, "intra_modal": 0.7, "margin_text": 0.2, "margin_vl": 0.25, "temperature": 0.2}
    weights = dict.fromkeys(terms, 0.5)
    return ObjectiveConfig(**settings | {"temperature_vl": 0.15, "weights": weights} | other)


def numpy(tensor: Tensor | None) -> oracles.Array:
    assert tensor is not None
    return tensor.detach().numpy()


def student_logits(views: Views, margin: float = 0.2, temperature: float = 0.2) -> oracles.Array:
    z, z2 = numpy(views.projected[:, 0]), numpy(views.projected[:, 1])
    return oracles.angular_margin(oracles.cosine(z, z2), margin) / temperature


def mixed_teacher(batch: Any) -> oracles.Array:
    a, b = (numpy(t) for t in batch.teachers.sentences)
    return oracles.cosine(a / 3 + 2 * b / 3, a / 3 + 2 * b / 3)


@pytest.mark.parametrize("threshold", [None, 2.0])
@pytest.mark.parametrize("softened", [True, False])
@pytest.mark.parametrize("term", ["grounding_image", "grounding_text"])
def test_grounding(term: str, softened: bool, threshold: float | None) -> None:
    views, batch = make_views(7), make_batch(7)
    objective = make_objective(only(term, image_softened_margin=softened, threshold=threshold), batch)
    head = objective.ground_image if term == "grounding_image" else objective.ground_caption
    v, c = numpy(batch.images), numpy(batch.captions)
    own, other = (v, c) if term == "grounding_image" else (c, v)
    excluded = None if threshold is None else other @ own.T > threshold
    assert excluded is None or 0 < (excluded & ~np.eye(7, dtype=bool)).sum() < 42
    passes = [
        oracles.grounding_contrast(
            numpy(objective.ground_text(views.pooled[:, k])),
            numpy(head(torch.from_numpy(own))),
            temperature=0.15,
            margin=0.25,
            similarity=oracles.cosine(own, own) if softened else None,
            excluded=excluded,
        )
        for k in range(2)
    ]
    assert objective(views, batch).terms[term].item() == pytest.approx(sum(passes) / 2)


def test_both_groundings_share_the_sentences_head() -> None:
    objective = make_objective(only("grounding_image", "grounding_text"), make_batch(4))
    assert sorted(dict(objective.named_children())) == ["ground_caption", "ground_image", "ground_text"]


@pytest.mark.parametrize("rank_loss", ["listmle", "listnet"])
def test_rank_over_teachers_of_other_widths(rank_loss: str) -> None:
    views, batch = make_views(6), make_batch(6, teacher_widths=(5, 9))
    a, b = (numpy(t) for t in batch.teachers.sentences)
    target = (oracles.cosine(a, a) / 3 + 2 * oracles.cosine(b, b) / 3) / 0.4
    ours = make_objective(only("rank", temperature_rank=0.4, rank_loss=rank_loss), batch)(views, batch)
    expected = getattr(oracles, rank_loss)(student_logits(views), target)
    assert ours.terms["rank"].item() == pytest.approx(expected)


def test_intra_alignment_with_its_own_softening() -> None:
    views, batch = make_views(6), make_batch(6)
    soft = {"intra_alignment": {"temperature": 0.8, "target_temperature": 0.3, "softening": 0.6}}
    ours = make_objective(only("intra_alignment", softening=0.9, soft=soft), batch)(views, batch)
    expected = oracles.soft_alignment(
        student_logits(views), mixed_teacher(batch), temperature=0.8, target_temperature=0.3, softening=0.6
    )
    assert ours.terms["intra_alignment"].item() == pytest.approx(expected)


@pytest.mark.parametrize("own", [True, False])
def test_cross_alignment_with_eta_softening_and_a_mapped_image(own: bool) -> None:
    views, batch = make_views(6), make_batch(6, image_width=9, caption_width=4)
    values = {"eta": 0.3, "softening": 0.7, "target_temperature": 0.4}
    settings: dict[str, Any] = {"soft": {"cross_alignment": values}} if own else values
    objective = make_objective(only("consistency", "cross_alignment", consistency_margin=0.05, **settings), batch)
    ours = objective(views, batch).terms
    z, v = numpy(views.projected[:, 0]), numpy(batch.images)
    assert objective.map_image.linear is not None
    mapped = v @ numpy(objective.map_image.linear.weight).T
    logits = oracles.angular_margin(oracles.cosine(z, mapped), 0.2) / 0.2
    a, b = numpy(objective.align_text(torch.from_numpy(z))), numpy(objective.align_image(torch.from_numpy(v)))
    agreement = oracles.cosine(a, b)
    image_target = 0.7 * oracles.cosine(v, v) + 0.3 * agreement.T
    text_target = 0.7 * mixed_teacher(batch) + 0.3 * agreement
    soft = {"temperature": 0.45, "target_temperature": 0.4, "softening": 0.7}
    assert ours["cross_alignment_image"].item() == pytest.approx(oracles.soft_alignment(logits.T, image_target, **soft))
    assert ours["cross_alignment_text"].item() == pytest.approx(oracles.soft_alignment(logits, text_target, **soft))
    assert ours["consistency"].item() == pytest.approx(oracles.consistency(a, b, margin=0.05))


def test_eta_makes_no_gradient_of_its_own() -> None:
    views, batch = make_views(6), make_batch(6)
    objective = make_objective(only("consistency", "cross_alignment", eta=0.5), batch)
    objective(views, batch).terms["cross_alignment_text"].backward()
    assert all(parameter.grad is None for parameter in objective.parameters())


@pytest.mark.parametrize("token_norm", ["feature", "token", "token_padded"])
@pytest.mark.parametrize("token_width", [6, 9])
def test_local_global(token_norm: str, token_width: int) -> None:
    views, batch = make_views(5), make_batch(5, token_width=token_width)
    objective = make_objective(only("local_global", token_norm=token_norm), batch)
    tokens, mask = numpy(batch.teachers.tokens), numpy(batch.teachers.token_mask)
    states = oracles.normalise_tokens(tokens, mask, token_norm)
    if token_width != 6:
        assert objective.map_tokens.linear is not None
        states = states @ numpy(objective.map_tokens.linear.weight).T
    expected = oracles.local_global(numpy(views.projected[:, 0]), states, mask, temperature=0.2)
    assert objective(views, batch).terms["local_global"].item() == pytest.approx(expected)


def test_dropout_consistency() -> None:
    views, batch = make_views(6), make_batch(6)
    z, z2 = numpy(views.projected[:, 0]), numpy(views.projected[:, 1])
    expected = oracles.jensen_shannon(oracles.cosine(z, z2) / 0.2, oracles.cosine(z2, z) / 0.2)
    ours = make_objective(only("dropout_consistency"), batch)(views, batch)
    assert ours.terms["dropout_consistency"].item() == pytest.approx(expected)


def test_one_grounding_term_may_soften_its_margin_alone() -> None:
    views, batch = make_views(6), make_batch(6)
    terms = ("grounding_image", "grounding_text")
    soft = {"grounding_text": {"softened_margin": False}}
    mixed, all_on, all_off = (
        make_objective(only(*terms, **settings), batch)(views, batch).terms
        for settings in ({"soft": soft}, {}, {"image_softened_margin": False})
    )
    assert torch.equal(mixed["grounding_image"], all_on["grounding_image"])
    assert torch.equal(mixed["grounding_text"], all_off["grounding_text"])
    assert not torch.equal(mixed["grounding_text"], all_on["grounding_text"])


@pytest.mark.parametrize("term", GROUPS)
def test_weight_0_is_the_objective_without_the_term(term: str) -> None:
    views, batch = make_views(6), make_batch(6)
    objective = make_objective(only(term), batch)
    without = make_objective(ObjectiveConfig(temperature=0.2, margin_text=0.2), batch)
    terms, bare = objective(views, batch), without(views, batch)
    assert list(bare.terms) == ["text"]
    assert torch.equal(bare.total, terms.terms["text"])
    assert not list(without.parameters())
    group = {"cross_modal": 0.3, "intra_modal": 0.7}[GROUPS[term]]
    halves = [value for name, value in terms.terms.items() if name.startswith(term)]
    value = sum(halves) / len(halves)
    assert terms.total.item() == pytest.approx((terms.terms["text"] + group * 0.5 * value).item())
    muted = make_objective(only(term, **{GROUPS[term]: 0.0}), batch)
    assert torch.equal(muted(views, batch).total, bare.total)


@pytest.mark.parametrize("term", ["intra_alignment", "rank", "local_global", "dropout_consistency"])
def test_a_text_batch_has_the_terms_that_on_text_names(term: str) -> None:
    views, batch = make_views(6), make_batch(6)
    config = only(*GROUPS, on_text=(term,))
    terms = make_objective(config, batch)(views, as_text(batch))
    assert list(terms.terms) == ["text", term]
    assert terms.cross_modal.item() == 0
    paired = make_objective(config, batch)(views, batch)
    assert torch.equal(terms.terms[term], paired.terms[term])
    assert len(paired.terms) == 10


def test_invariant_to_the_order_of_the_batch() -> None:
    views, batch = make_views(7), make_batch(7)
    terms = [term for term in GROUPS if term != "consistency"]  # its unmatched pairs are made by rolling
    objective = make_objective(only(*terms), batch)
    moved = objective(*permuted(views, batch, permutation(7)))
    assert torch.allclose(moved.total, objective(views, batch).total)


def test_gradient_of_everything_in_float64() -> None:
    views, batch = make_views(4), make_batch(4, image_width=5, caption_width=3, token_width=7)
    objective = make_objective(only(*GROUPS, eta=0.0, softening=0.5), batch)

    def total(pooled: Tensor, projected: Tensor) -> Tensor:
        return objective(Views(pooled, projected), batch).total

    assert torch.autograd.gradcheck(total, (views.pooled, views.projected))


def test_one_pair_uses_the_batch_norms_running_statistics() -> None:
    views, batch = make_views(8), make_batch(8)
    objective = make_objective(only("consistency"), batch)
    objective(views, batch)
    one_views, one_batch = make_views(1), make_batch(1)
    before = {name: value.clone() for name, value in objective.named_buffers()}
    training = objective(one_views, one_batch).terms["consistency"]
    assert all(torch.equal(value, before[name]) for name, value in objective.named_buffers())
    assert torch.equal(training, objective.eval()(one_views, one_batch).terms["consistency"])


def test_heads_are_drawn_from_torchs_generator_alone() -> None:
    batch = make_batch(4)
    first, again, other = (make_objective(only(*GROUPS), batch, seed=seed) for seed in (1, 1, 2))
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.ground_text[0].weight, other.ground_text[0].weight)


def build(config: ObjectiveConfig, **widths: Any) -> Objective:
    default = {
        "image_width": 6,
        "caption_width": 6,
        "teacher_widths": (5,),
        "teacher_weights": (1.0,),
        "token_width": 6,
    }
    return Objective(config, width=6, projection_dim=4, **default | widths)


@pytest.mark.parametrize(
    ("term", "missing", "message"),
    [
        ("grounding_image", {"image_width": None}, "weights.grounding_image: needs image features"),
        ("grounding_text", {"caption_width": None}, "weights.grounding_text: needs the image teacher's caption"),
        ("consistency", {"image_width": None}, "weights.consistency: needs image features"),
        ("cross_alignment", {"image_width": None}, "weights.cross_alignment: needs image features"),
        ("cross_alignment", {"teacher_widths": (), "teacher_weights": ()}, "needs a text teacher"),
        ("intra_alignment", {"teacher_weights": (0.0,)}, "needs a text teacher of weight > 0"),
        ("rank", {"teacher_widths": (), "teacher_weights": ()}, "weights.rank: needs a text teacher"),
        ("local_global", {"token_width": None}, "needs a teacher's token states"),
    ],
)
def test_a_term_without_its_source_is_an_input_error(term: str, missing: dict[str, Any], message: str) -> None:
    build(only(term))
    with pytest.raises(InputError, match=message):
        build(only(term), **missing)


@pytest.mark.parametrize(("images", "captions"), [(6, 5), (6, None)])
def test_a_threshold_needs_images_and_captions_in_one_space(images: int, captions: int | None) -> None:
    with pytest.raises(InputError, match=r"objective\.threshold: .* width is 6"):
        build(only("grounding_image", threshold=0.9), image_width=images, caption_width=captions)
    build(only("consistency", threshold=0.9), image_width=images, caption_width=captions)


def test_teachers_and_weights_must_pair_up() -> None:
    with pytest.raises(ValueError, match="1 teacher widths, but 2 weights"):
        build(only("rank"), teacher_weights=(1.0, 2.0))


def test_a_batch_without_what_a_term_needs_is_refused() -> None:
    batch = make_batch(4)
    objective = make_objective(only("grounding_image"), batch)
    bare = type(batch)(batch.rows, batch.input_ids, batch.attention_mask)
    with pytest.raises(ValueError, match="the batch's images"):
        objective(make_views(4), bare)
