"""A term is declared once: its config keys, features, value, search and figure come from `TERMS`."""

import math
import pickle
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor, nn

import dalr.losses
from dalr.config.keys import default_of, describe, field_at, known_keys
from dalr.config.loading import load_config
from dalr.config.overrides import to_yaml, validated, with_overrides
from dalr.config.recipes import RECIPES
from dalr.config.schema import RunConfig
from dalr.data.features.needs import needs_of
from dalr.errors import InputError
from dalr.identity import Identity
from dalr.losses.inputs import TermInputs
from dalr.losses.terms import TERMS, Head, Number, Term
from dalr.reports.figures.curves import read_metrics, term_contributions, term_factors
from dalr.sweeps.spec.loading import load_spec
from dalr.training.without_effect import unread_keys
from tests import ROOT
from tests.dalr.losses.batches import as_text, make_batch, make_objective, make_views


def spread(inputs: TermInputs) -> Tensor:
    """How near each sentence lies to the batch's images, through a head of its own."""
    mapped = inputs.head("map_for_spread")(inputs.images)
    return torch.cdist(inputs.z, mapped).mean() / inputs.config.own("spread", "scale")


def uniformity(inputs: TermInputs) -> tuple[Tensor, Tensor]:
    """Two parts of sentences alone."""
    return inputs.cosines.mean(), inputs.teacher_similarity.mean() * inputs.config.own("uniformity", "softening")


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two terms that the package does not have: one of images with a head, one of text with two parts."""
    terms = {
        "spread": Term(
            "cross_modal",
            "sentences lie near images",
            spread,
            needs=frozenset({"images"}),
            heads={"map_for_spread": Head(lambda source, target: nn.Linear(source, target), "images", "student")},
            own={"scale": Number(2.0, 0.5, 10.0, "divides the distances")},
        ),
        "uniformity": Term(
            "intra_modal",
            "sentences lie far from each other",
            f"{__name__}:uniformity",
            needs=frozenset({"sentences"}),
            own={"softening": "softening"},
            parts=("uniformity_own", "uniformity_taught"),
        ),
    }
    for name, term in terms.items():
        monkeypatch.setitem(TERMS, name, term)


WITH_TEACHER = {"teachers.text": [{"model": "a", "weight": 1.0}]}
BOTH = {
    "objective.cross_modal": 0.3,
    "objective.intra_modal": 0.7,
    "objective.weights.spread": 0.5,
    "objective.weights.uniformity": 0.4,
    "objective.soft.spread.scale": 4.0,
}


def config(**changes: Any) -> RunConfig:
    written = {key.replace("__", "."): value for key, value in changes.items()}
    return with_overrides(RunConfig(), {**WITH_TEACHER, **BOTH, **written})


@pytest.mark.usefixtures("added")
def test_an_added_term_has_config_keys_with_bounds_and_a_meaning() -> None:
    weight = field_at("objective.weights.spread")
    assert weight is not None
    assert "sentences lie near images" in str(weight.description)
    assert {"objective.weights.spread", "objective.soft.spread.scale", "objective.soft.uniformity.softening"} <= set(
        known_keys()
    )
    assert describe("objective.soft.spread.scale") == "expected a number >= 0.5 and <= 10.0"
    assert default_of("objective.soft.spread.scale") == "2.0"
    assert "softening" in str(field_at("objective.soft.uniformity.softening"))
    with pytest.raises(InputError, match=r"objective\.weights\.spread: -1 is not allowed; expected a number >= 0\.0"):
        config(objective__weights__spread=-1)
    with pytest.raises(InputError, match=r"unknown key objective\.weights\.spred; did you mean .*spread"):
        config(objective__weights__spred=1)
    with pytest.raises(InputError, match=r"on_text.*not allowed; expected a list .*dropout_consistency, uniformity"):
        config(objective__on_text=["spread"])
    assert config(objective__on_text=["uniformity"]).objective.on_text == ("uniformity",)


@pytest.mark.usefixtures("added")
def test_an_added_term_is_checked_against_what_a_run_has() -> None:
    with pytest.raises(InputError, match=r"spread needs pairs, but data\.pair_every is null"):
        config(data__pair_every=None)
    with pytest.raises(InputError, match="uniformity needs a text teacher"):
        config(teachers__text=[])
    needs = needs_of(config(objective__on_text=["uniformity"]).objective)
    assert needs.images
    assert needs.sentence_vectors == {"captions", "text"}
    assert not needs_of(config(objective__cross_modal=0.0).objective).images
    off = with_overrides(RunConfig(), {"objective.soft.spread.scale": 4.0})
    assert "spread is off" in unread_keys([off], ["objective.soft.spread.scale"])["objective.soft.spread"]
    own = config(objective__softening=0.5, objective__soft__uniformity__softening=0.1)
    assert "soft.uniformity.softening stand" in unread_keys([own], ["objective.softening"])["objective.softening"]


@pytest.mark.usefixtures("added")
def test_an_added_term_is_computed_and_weighed() -> None:
    views, batch = make_views(6), make_batch(6, image_width=9)
    settings = config(objective__softening=0.5, objective__on_text=["uniformity"]).objective
    objective = make_objective(settings, batch)
    assert [name for name, _ in objective.named_children()] == ["map_for_spread"]
    ours = objective(views, batch)
    assert list(ours.terms) == ["text", "spread", "uniformity_own", "uniformity_taught"]
    values = {name: value.item() for name, value in ours.terms.items()}
    total = values["text"] + 0.3 * 0.5 * values["spread"]
    total += 0.7 * 0.4 * (values["uniformity_own"] + values["uniformity_taught"]) / 2
    assert ours.total.item() == pytest.approx(total)
    assert batch.images is not None
    mapped = objective.map_for_spread(batch.images)
    assert values["spread"] == pytest.approx(torch.cdist(views.projected[:, 0], mapped).mean().item() / 4)
    text = objective(views, as_text(batch))
    assert list(text.terms) == ["text", "uniformity_own", "uniformity_taught"]


@pytest.mark.usefixtures("added")
def test_an_added_term_is_searched(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "recipe: quickstart\nspace:\n  objective.weights.spread: {uniform: [0.0, 2.0]}\n"
        "  objective.soft.spread.scale: {log: [1.0, 4.0]}\nbudget: {trials: 2}\n"
    )
    assert set(load_spec(spec).space) == {"objective.weights.spread", "objective.soft.spread.scale"}
    spec.write_text(spec.read_text().replace("[1.0, 4.0]", "[1.0, 40.0]"))
    with pytest.raises(InputError, match=r"scale.*<= 10\.0"):
        load_spec(spec)


@pytest.mark.usefixtures("added")
def test_an_added_term_is_drawn_with_its_weight(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(f'{{"step": {k}, "term/spread": 10.0, "term/uniformity_own": 1.0}}\n' for k in (1, 2)))
    factors = term_factors(config().dump())
    shares = term_contributions(read_metrics(log, label="a", seed=1, factors=factors)[0])
    last = dict(shares.filter(pl.col("step") == 2).select("term", "value").iter_rows())
    assert last == pytest.approx({"spread": 10 * 0.3 * 0.5, "uniformity_own": 0.7 * 0.4 / 2})


def test_a_term_that_a_report_does_not_know_is_not_drawn(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1, "term/unknown": 10.0, "term/text": 1.0}\n{"step": 2, "term/text": 2.0}\n')
    factors = term_factors({"objective": {"cross_modal": 1.0, "weights": {"unknown": 1.0}}})
    assert read_metrics(log, label="a", seed=1, factors=factors)[0]["key"].to_list() == ["term/text"] * 2


def test_a_config_from_before_a_term_was_added_has_its_keys(request: pytest.FixtureRequest) -> None:
    before = RECIPES["dalr"]()
    fingerprint = Identity(before, {}).fingerprint
    request.getfixturevalue("added")
    assert before.dump()["objective"]["weights"]["spread"] == 0.0
    assert not before.objective.active("spread")
    assert with_overrides(before, {"objective.weights.spread": 0.5}).objective.active("spread")
    assert Identity(before, {}).fingerprint == fingerprint == Identity(RECIPES["dalr"](), {}).fingerprint
    assert Identity(with_overrides(before, BOTH), {}).fingerprint != fingerprint


@pytest.mark.usefixtures("added")
def test_a_run_of_an_added_term_is_read_back(tmp_path: Path) -> None:
    ours = config()
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(ours))
    assert load_config(str(path)).config.objective == ours.objective
    assert pickle.loads(pickle.dumps(ours)) == ours


def test_a_run_of_a_term_that_is_not_declared_is_refused(added: None, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = config().dump()
    monkeypatch.delitem(TERMS, "spread")
    with pytest.raises(InputError, match=r"unknown key objective\.weights\.spread"):
        validated(saved)


def test_the_schema_for_editors_has_every_term() -> None:
    schema = RunConfig.model_json_schema()
    weights = schema["$defs"]["ObjectiveConfig"]["properties"]["weights"]
    properties = schema["$defs"][weights["$ref"].rpartition("/")[2]] if "$ref" in weights else weights
    assert list(properties["properties"]) == list(TERMS)
    assert properties["properties"]["rank"]["maximum"] == 1000.0


def test_a_head_of_something_that_is_not_needed_is_refused() -> None:
    with pytest.raises(ValueError, match="a head reads images, which `needs` lacks"):
        Term("cross_modal", "", spread, heads={"map": Head("dalr.losses.heads:LinearMap", "images", "student")})


@pytest.mark.parametrize("name", TERMS)
def test_a_terms_settings_are_keys_of_the_objective(name: str) -> None:
    assert all(field_at(f"objective.{setting}") is not None for setting in TERMS[name].settings)
    assert math.isclose(float(default_of(f"objective.weights.{name}")), 0.0)


def test_no_function_has_the_name_of_a_module() -> None:
    modules = {path.stem for path in (ROOT / "dalr" / "losses").glob("*.py")}
    assert not modules & set(dalr.losses.__all__)
    assert all(callable(getattr(dalr.losses, name)) for name in dalr.losses.__all__)
    assert "dalr.losses.matching" in sys.modules
