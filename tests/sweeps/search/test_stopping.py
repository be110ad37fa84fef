"""The rules that end a search before its budget does."""

from pathlib import Path

import polars as pl
import pytest

from dalr.errors import InputError
from dalr.sweeps.display import budget_line
from dalr.sweeps.search.records import RunRecord, State, TrialRecord
from dalr.sweeps.search.snapshot import read_state
from dalr.sweeps.search.stopping import StopRules
from dalr.sweeps.spec.parts import StopSpec
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes

FAILING = {"optim.weight_decay": {"choice": [decay for decay, fate in fakes.FATES.items() if fate == "raises"]}}


def trial(number: int, value: float | None, state: State = "complete", violation: float = 0.0) -> TrialRecord:
    values = () if value is None else (value,)
    run = RunRecord(1, "f", state=state, values=values)
    reason = "no luck" if state == "failed" else None
    return TrialRecord(number, "dalr", {}, f"p{number}", state, (run,), reason, violation=violation)


def reason_of(stop: dict, *trials: TrialRecord, maximize: bool = True) -> str | None:
    return StopRules(StopSpec.model_validate(stop), maximize=maximize).reason(dict(enumerate(trials)))


@pytest.mark.parametrize(
    ("stop", "values", "maximize", "expected"),
    [
        ({"target": 80}, [70, 79.9], True, None),
        ({"target": 80}, [70, 80, 90], True, "trial 1 reached the target of 80"),
        ({"target": 2}, [3, 1.5], False, "trial 1 reached the target of 2"),
        ({"plateau": {"trials": 2}}, [5, 6, 6], True, None),
        ({"plateau": {"trials": 2}}, [5, 6, 6, 5.9], True, "2 complete trials in a row were not better than trial 1"),
        ({"plateau": {"trials": 2, "min_improvement": 1}}, [5, 6, 5.5], True, "trial 0 by 1"),
        ({"plateau": {"trials": 2}}, [5, 4, 3, 2], False, None),
        ({"plateau": {"trials": 2}}, [5, 6, 7], False, "not better than trial 0"),
        ({}, [1, 1, 1, 1], True, None),
    ],
)
def test_values_end_a_search(stop: dict, values: list[float], maximize: bool, expected: str | None) -> None:
    reason = reason_of(stop, *(trial(n, value) for n, value in enumerate(values)), maximize=maximize)
    assert (reason is None) == (expected is None)
    assert expected is None or expected in str(reason)


def test_only_complete_and_feasible_trials_have_a_value() -> None:
    others = [trial(0, 90, "pruned"), trial(1, 90, violation=0.5), trial(2, None, "failed"), trial(3, 90, "running")]
    assert reason_of({"target": 80}, *others) is None
    assert reason_of({"plateau": {"trials": 1}}, trial(0, 1), *others[1:]) is None


def test_failures_count_in_a_row_and_twins_that_were_not_run_do_not() -> None:
    bad = [trial(n, None, "failed") for n in range(3)]
    assert reason_of({"failures": 3}, *bad) == "3 trials in a row failed, the last with: no luck"
    assert reason_of({"failures": 3}, *bad[:2], trial(5, 1.0), trial(6, None, "failed")) is None
    twin = TrialRecord(3, "dalr", {}, "p0", "failed", (), "same point as trial 0, which was failed")
    assert reason_of({"failures": 3}, *bad[:2], twin, twin) is None
    assert reason_of({"failures": 3}, trial(9, None, "running"), *bad) is not None


def test_a_bug_does_not_use_up_the_budget_and_another_budget_goes_on(tmp_path: Path) -> None:
    chosen = {"space": {"optim.learning_rate": {"log": [1e-5, 1e-2]}, **FAILING}, "budget": {"trials": 30}}
    fakes.work(coordinator(spec(stop={"failures": 3}, **chosen), tmp_path, touch=True))
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame["state"].to_list() == ["failed"] * 3
    again = coordinator(spec(stop={"failures": 3}, **chosen), tmp_path)
    assert again.finished_before()
    assert list(again.stopped().values()) == [
        "3 trials in a row failed, the last with: RuntimeError: the disk is on fire"
    ]
    fakes.work(coordinator(spec(stop={"failures": 5}, **chosen), tmp_path))
    assert pl.read_parquet(tmp_path / "trials.parquet").height == 5


def test_a_target_ends_the_search_and_the_final_runs_follow(tmp_path: Path) -> None:
    from dalr.sweeps.search.spec_file import save_spec

    chosen = spec(stop={"target": -1e9}, seeds={"final": 1}, budget={"trials": 6})
    tmp_path.joinpath("sweep").mkdir()
    save_spec(chosen, tmp_path / "sweep")
    search = coordinator(chosen, tmp_path / "sweep", touch=False)
    fakes.work(search)
    assert pl.read_parquet(tmp_path / "sweep" / "trials.parquet").height == 1
    assert [record.run.state for record in search.finals["quickstart"].records()] == ["complete"] * 2
    state = read_state(tmp_path / "sweep")
    assert "quickstart ended early: trial 0 reached the target of -1e+09" in budget_line(state)


def test_a_rule_that_needs_one_best_is_refused_for_several_metrics() -> None:
    with pytest.raises(InputError, match="several metrics have no single best"):
        spec(metric=["STSBenchmark.dev", "SICKRelatedness.dev"], scheduler={"name": "none"}, stop={"target": 1})
