"""The documented experiments are specifications that load, with the arms that their plan names."""

from pathlib import Path

import pytest

from dalr.config.overrides import with_overrides
from dalr.sweeps.spec.loading import base_configs, load_spec
from tests import ROOT

EXPERIMENTS = ROOT / "docs" / "experiments"
ALL = ("grounding_image", "grounding_text", "consistency", "cross_alignment", "intra_alignment", "rank", "local_global")
TERMS_OF: dict[str, set[str]] = {
    "neither": set(),
    "images": {"grounding_image", "consistency"},
    "teacher": {"rank", "intra_alignment", "local_global"},
    "both": {"grounding_image", "consistency", "cross_alignment", "rank", "intra_alignment", "local_global"},
}


@pytest.mark.parametrize(("name", "points", "runs"), [("rates", 20, 20), ("factorial", 8, 48)])
def test_the_plan_is_what_is_run(name: str, points: int, runs: int, real_data: Path) -> None:
    chosen = load_spec(EXPERIMENTS / f"{name}.yaml", [f"data.root={real_data}"])
    design = chosen.design() or []
    assert (len(design), len(design) * chosen.seeds.per_trial) == (points, runs)
    (base,) = base_configs(chosen).values()
    for arm, terms in TERMS_OF.items():
        config = with_overrides(base, chosen.arms[arm])
        assert {term for term in ALL if config.objective.active(term)} == terms
