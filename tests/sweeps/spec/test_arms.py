"""Named settings to compare, each with every seed."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dalr.config.loading import read_config
from dalr.errors import InputError
from dalr.sweeps.analysis.outcome import outcome_of
from dalr.sweeps.display import best_lines
from dalr.sweeps.execution.disk import DiskKeeper
from dalr.sweeps.execution.place import SharedSweep
from dalr.sweeps.search.snapshot import state_of
from dalr.sweeps.search.spec_file import save_spec, saved_spec
from dalr.sweeps.spec.loading import bundled_specs, load_spec
from dalr.sweeps.spec.schema import SweepSpec
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes

ARMS: dict[str, Any] = {
    "base": {},
    "no cross-modal": {"objective.cross_modal": 0.0},
    "no intra-modal": {"objective": {"intra_modal": 0.0}},
}


def comparison(**changes: Any) -> SweepSpec:
    return spec(**{"space": {}, "sampler": {"name": "grid"}, "budget": {}, "arms": ARMS, **changes})


def test_every_arm_runs_with_every_seed_under_its_name(tmp_path: Path) -> None:
    fakes.work(coordinator(comparison(seeds={"per_trial": 2}), tmp_path))
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame.select("arm", "seed").rows() == [(arm, seed) for arm in ARMS for seed in (1, 2)]
    assert set(frame["state"]) == {"complete"}
    written = [read_config(tmp_path / "runs" / f"trial-000{n}-seed-1" / "config.yaml") for n in range(3)]
    assert [config.objective.cross_modal > 0 for config in written] == [True, False, True]
    assert [config.objective.intra_modal > 0 for config in written] == [True, True, False]
    assert all(config.evaluation.tasks for config in written), "arms are scored on the recipe's test tasks"


def test_a_finished_comparison_says_what_compares_its_arms(tmp_path: Path) -> None:
    search = coordinator(comparison(), tmp_path)
    fakes.work(search)
    said = best_lines(outcome_of(state_of(search)))
    assert f"dalr report {tmp_path} compares the arms on the test tasks and tests their contrasts" in said
    assert not any("seeds.final" in line for line in said), "nothing was searched, so nothing flatters"


def test_arms_cross_a_space(tmp_path: Path) -> None:
    rates = {"optim.learning_rate": {"choice": [1e-4, 1e-3]}}
    two = {name: ARMS[name] for name in ("base", "no cross-modal")}
    fakes.work(coordinator(comparison(space=rates, arms=two), tmp_path))
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame.select("arm", "optim.learning_rate").rows() == [(arm, rate) for arm in two for rate in (1e-4, 1e-3)]
    assert read_config(tmp_path / "best.yaml").optim.learning_rate == 1e-3


def test_a_killed_comparison_goes_on(tmp_path: Path) -> None:
    chosen = comparison(seeds={"per_trial": 2})
    fakes.work(coordinator(chosen, tmp_path / "whole"))
    fakes.work(coordinator(chosen, tmp_path / "killed"), reports=5)
    fakes.work(coordinator(chosen, tmp_path / "killed"))
    columns = ["arm", "seed", "state", "value", "config_fingerprint"]
    frames = [pl.read_parquet(tmp_path / out / "trials.parquet").select(columns) for out in ("whole", "killed")]
    assert frames[0].equals(frames[1])


@pytest.mark.parametrize(("keep", "left"), [("all", 3), ("best", 3), ("none", 0)])
def test_models_stay_as_asked(tmp_path: Path, keep: str, left: int) -> None:
    search = coordinator(comparison(keep_models=keep), tmp_path)
    fakes.work(search)
    for run in tmp_path.glob("runs/*"):
        (run / "model").mkdir()
    DiskKeeper(SharedSweep(Path(search.out)).remove).tidy(state_of(search), at_once=True)
    assert len(list(tmp_path.glob("runs/*/model"))) == left


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"a": {"objective.temprature": 1}}}, r"arms: a: .*did you mean objective\.temperature"),
        ({"arms": {"a": {"objective.temperature": -1}}}, r"arms: a: objective\.temperature"),
        ({"arms": {"a": {"evaluation.metric": "STS12.test"}}}, "judged by must be the same"),
        ({"arms": {"a": {}, "b": {}}}, "arms: b and a are the same config"),
        ({"space": {"objective.cross_modal": {"choice": [0.1, 0.2]}}}, "is searched in space, too"),
        ({"keep_models": "some"}, "keep_models"),
    ],
)
def test_what_makes_no_comparison_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        comparison(**changes)


def test_a_search_without_arms_keeps_the_key_that_it_had() -> None:
    assert "arms" not in spec().dump()
    assert spec().study_key() == spec(keep_models="all").study_key() != comparison().study_key()


@pytest.mark.parametrize("name", [name for name in bundled_specs() if name.startswith(("ablation", "teachers"))])
def test_bundled_comparisons_are_sound(name: str, real_data: Path) -> None:
    chosen = load_spec(name, [f"evaluation.data={real_data / 'senteval'}"])
    assert chosen.design()
    assert chosen.seeds.per_trial == 5


def test_contrasts_of_arms_are_declared_and_may_change(tmp_path: Path) -> None:
    planned = {"no levels": {"no cross-modal": 0.5, "no intra-modal": 0.5, "base": -1}}
    chosen = comparison(contrasts=planned, equivalence_margin=0.3)
    save_spec(chosen, tmp_path)
    assert saved_spec(tmp_path) == chosen
    assert chosen.study_key() == comparison().study_key()
    save_spec(comparison(contrasts={"cross": {"no cross-modal": 1, "base": -1}}), tmp_path)
    assert list(saved_spec(tmp_path).contrasts) == ["cross"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contrasts": {"x": {"no cross": 1, "base": -1}}}, "contrasts: x: no arm is called 'no cross'"),
        ({"contrasts": {"x": {"no cross-modal": 1, "base": -2}}}, "contrasts: x: the weights sum to -1, not to 0"),
        ({"contrasts": {"x": {"base": "much"}}}, r"contrasts\.x\.base"),
        ({"equivalence_margin": 0}, "equivalence_margin"),
    ],
)
def test_a_contrast_that_cannot_be_tested_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        comparison(**changes)
