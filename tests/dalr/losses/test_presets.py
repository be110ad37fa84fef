"""Each preset's total is the weighted sum of its terms, with the numbers of the published settings."""

import pytest
import torch

from dalr.config.recipes import PRESETS
from dalr.losses.objective import LossTerms
from tests.dalr.losses.batches import as_text, make_batch, make_objective, make_views

# The total's weights: λ·w or μ·w, written out.
TOTALS = {
    "dalr": {
        "text": 1.0,
        "grounding_image": 0.1,
        "consistency": 0.001,
        "cross_alignment_image": 0.05,
        "cross_alignment_text": 0.05,
        "intra_alignment": 0.2,
        "rank": 0.2,
        "local_global": 0.2,
    },
    "dalr_paper": {
        "text": 1.0,
        "consistency": 0.1,
        "cross_alignment_image": 0.05,
        "cross_alignment_text": 0.05,
        "intra_alignment": 0.2,
        "rank": 0.2,
    },
    "dalr_balanced": {
        "text": 1.0,
        "grounding_image": 0.057,
        "consistency": 0.00057,
        "cross_alignment_image": 0.0285,
        "cross_alignment_text": 0.0285,
        "intra_alignment": 0.17,
        "rank": 0.17,
        "local_global": 0.17,
    },
    "simcse": {"text": 1.0},
    "mcse": {"text": 1.0, "grounding_image": 0.01},
    "kdmcse": {"text": 1.0, "grounding_image": 0.01, "grounding_text": 0.01},
    "rankcse": {"text": 1.0, "rank": 1.0, "dropout_consistency": 1.0},
}
MARGINS = {
    "dalr": 0.18,
    "dalr_paper": 0.18,
    "dalr_balanced": 0.18,
    "simcse": 0.0,
    "mcse": 0.0,
    "kdmcse": 0.15,
    "rankcse": 0.0,
}


def assert_weighted_sum(terms: LossTerms, weights: dict[str, float]) -> None:
    assert set(terms.terms) == set(weights)
    assert all(value > 0 for value in terms.terms.values())
    expected = sum(weight * terms.terms[name].item() for name, weight in weights.items())
    assert terms.total.item() == pytest.approx(expected)


def test_every_preset_is_here() -> None:
    assert set(PRESETS) == set(TOTALS)


@pytest.mark.parametrize("name", TOTALS)
def test_paired_batch(name: str) -> None:
    batch = make_batch(8)
    assert_weighted_sum(make_objective(PRESETS[name], batch)(make_views(8), batch), TOTALS[name])


@pytest.mark.parametrize("name", TOTALS)
def test_text_batch(name: str) -> None:
    batch = make_batch(8)
    seen = {"text", *PRESETS[name].on_text}
    weights = {term: weight for term, weight in TOTALS[name].items() if term in seen}
    assert_weighted_sum(make_objective(PRESETS[name], batch)(make_views(8), as_text(batch)), weights)


@pytest.mark.parametrize("name", TOTALS)
def test_margins_and_temperatures(name: str) -> None:
    preset = PRESETS[name]
    assert (preset.margin_text, preset.margin_vl) == (MARGINS[name], MARGINS[name])
    assert (preset.temperature, preset.temperature_vl, preset.temperature_rank) == (0.05, 0.05, 0.05)
    assert (preset.alignment_temperature, preset.target_temperature) == (0.45, 0.05 if name == "dalr_balanced" else 0.5)
    assert (preset.softening, preset.eta, preset.threshold, preset.rank_loss) == (1.0, 0.0, None, "listmle")


def test_kdmcse_takes_its_threshold_filter() -> None:
    views, batch = make_views(8), make_batch(8)
    plain = make_objective(PRESETS["kdmcse"], batch)(views, batch)
    filtered = make_objective(PRESETS["kdmcse"].model_copy(update={"threshold": 0.5}), batch)(views, batch)
    assert torch.equal(plain.terms["text"], filtered.terms["text"])
    for term in ("grounding_image", "grounding_text"):
        assert filtered.terms[term] < plain.terms[term]
