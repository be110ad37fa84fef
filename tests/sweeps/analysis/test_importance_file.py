"""What a sweep writes of importance, as reports read it; and that of the sweep in docs/example-report."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dalr.reports.load.importance import importance
from dalr.reports.load.sweeps import read_sweep
from dalr.sweeps.analysis.outcome import outcome_of, write_importance, write_trials
from dalr.sweeps.search.records import RunRecord, TrialRecord
from dalr.sweeps.search.snapshot import SweepState
from dalr.sweeps.search.spec_file import save_spec
from tests.sweeps.example import EXAMPLE, example_state
from tests.sweeps.make import spec


def test_reports_read_what_a_sweep_writes(tmp_path: Path) -> None:
    """Of two recipes one has too few trials to tell."""
    overrides = {"evaluation.data": "/x", "train.steps": 9}
    chosen = spec(recipe=["quickstart", "simcse"], overrides=overrides)
    random = np.random.default_rng(0)
    trials = []
    for number in range(30):
        rate, weight = float(10 ** random.uniform(-5, -2)), float(random.uniform(0.05, 1.0))
        point, value = {"optim.learning_rate": rate, "objective.intra_modal": weight}, 70 - 10 * abs(np.log10(rate) + 3)
        recipe = "simcse" if number < 3 else "quickstart"
        run = RunRecord(1, str(number), "complete", None, value, (value,), 9, 10.0)
        trials.append(TrialRecord(number, recipe, point, str(number), "complete", (run,)))
    save_spec(chosen, tmp_path)
    state = SweepState(tmp_path, chosen, tuple(trials), (), 1.0, 0.0)
    write_trials(state, tmp_path / "trials.parquet")
    known = outcome_of(state).importances
    write_importance(known, tmp_path / "importance.parquet")
    read = importance(read_sweep(tmp_path, "s"))
    assert read["recipe"].unique().to_list() == ["quickstart"]
    assert read["path"][0] == "optim.learning_rate"
    assert read["importance"].to_list() == [each.share for each in known]
    assert read["step"].null_count() == read.height == 2


def test_the_example_s_importance_follows_from_its_trials(tmp_path: Path) -> None:
    """From trials.parquet and each trial's metrics.jsonl."""
    write_importance(outcome_of(example_state()).importances, tmp_path / "importance.parquet")
    kept, made = (pl.read_parquet(folder / "importance.parquet") for folder in (EXAMPLE, tmp_path))
    assert made.drop("importance", "low", "high").equals(kept.drop("importance", "low", "high"))
    for column in ("importance", "low", "high"):
        assert made[column].to_list() == pytest.approx(kept[column].to_list(), abs=1e-9)
