"""A sweep that is copied elsewhere with its data goes on there: the same study, no trial twice."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dalr.config.overrides import to_yaml, with_overrides
from dalr.errors import InputError
from dalr.sweeps.commands.explain import config_again
from dalr.sweeps.search.database import close_storage, database_url, open_storage
from dalr.sweeps.search.snapshot import read_state
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.spec.schema import SweepSpec
from tests.small_run import small_config, write_corpora
from tests.sweeps.make import STEPS, coordinator, spec
from tests.sweeps.search import fakes
from tests.tiny import write_tiny_bert

pytestmark = pytest.mark.medium


def spec_in(home: Path, **changes: object) -> SweepSpec:
    """Its recipe, and a path among its overrides, lie below `home`."""
    return spec(recipe=str(home / "recipe.yaml"), overrides={**STEPS, "data.store": str(home / "store")}, **changes)


def begin(home: Path) -> None:
    """Data, models, recipe, and a sweep whose driver was killed in its third trial."""
    home.mkdir()
    write_corpora(home, np.random.default_rng(0))
    write_tiny_bert(home / "student")
    write_recipe(home)
    work(home, reports=13)


def write_recipe(home: Path) -> None:
    (home / "recipe.yaml").write_text(to_yaml(small_config(home, home / "student")))


def work(home: Path, *, reports: int | None = None, **changes: object) -> None:
    chosen = spec_in(home, **changes)
    (home / "sweep").mkdir(exist_ok=True)
    save_spec(chosen, home / "sweep")
    storage = open_storage(database_url(chosen, home / "sweep"))
    fakes.work(coordinator(chosen, home / "sweep", touch=False, storage=storage), reports=reports)
    close_storage(storage)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    begin(tmp_path / "home")
    (tmp_path / "home").rename(tmp_path / "elsewhere")
    write_recipe(tmp_path / "elsewhere")  # as its owner mends the paths in it
    return tmp_path / "elsewhere"


def steps_of(home: Path) -> dict[str, int]:
    return {path.parent.name: len(path.read_text().splitlines()) for path in home.glob("sweep/runs/*/steps.jsonl")}


def test_a_half_done_sweep_goes_on_elsewhere(elsewhere: Path) -> None:
    before = pl.read_parquet(elsewhere / "sweep" / "trials.parquet")
    done = before.filter(pl.col("state") == "complete")["trial"].to_list()
    assert 0 < len(done) < 6
    work(elsewhere)
    frame = pl.read_parquet(elsewhere / "sweep" / "trials.parquet")
    assert frame["trial"].to_list() == list(range(6))
    assert set(frame["state"]) == {"complete"}
    assert set(steps_of(elsewhere).values()) == {9}, "no step was done twice"
    kept = before.filter(pl.col("trial").is_in(done)).select("trial", "value", "config_fingerprint")
    assert frame.filter(pl.col("trial").is_in(done)).select(kept.columns).equals(kept)
    state = read_state(elsewhere / "sweep")
    assert len(state.trials) == 6
    trial = state.trial(0)
    config = config_again(state, trial, trial.runs[0])
    assert config.data.captions == str(elsewhere / "captions.csv")


def test_with_other_data_it_is_refused(elsewhere: Path) -> None:
    (elsewhere / "sentences.txt").write_text("another corpus\n" * 80)
    with pytest.raises(InputError, match=r"recipe .*: what it trains has changed .*: data\.text: .* holds something"):
        work(elsewhere)


def test_another_search_is_still_refused(elsewhere: Path) -> None:
    with pytest.raises(InputError, match="another sweep; they differ in sampler;"):
        work(elsewhere, sampler={"name": "random"})


def test_two_recipes_of_one_file_name_have_two_studies(tmp_path: Path) -> None:
    home = tmp_path / "home"
    begin(home)
    (home / "other").mkdir()
    config = with_overrides(small_config(home, home / "student"), {"train.seed": 5})
    (home / "other" / "recipe.yaml").write_text(to_yaml(config))
    recipes = [str(home / "recipe.yaml"), str(home / "other" / "recipe.yaml")]
    chosen = spec(recipe=recipes, budget={"trials": 2})
    fakes.work(coordinator(chosen, tmp_path / "both"))
    assert len(pl.read_parquet(tmp_path / "both" / "trials.parquet")) == 4
