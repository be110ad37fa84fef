"""Requests of people to a sweep, without Ray: each is written down before it is obeyed, and obeyed once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dalr.errors import Failed, InputError
from dalr.sweeps.commands import control as commands
from dalr.sweeps.commands.explain import explain
from dalr.sweeps.display import counts_line
from dalr.sweeps.execution.runner import steered
from dalr.sweeps.search.control import NOT_RUNNING, Control
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.records import Report
from dalr.sweeps.search.requests import Request, RequestLog, new_request
from dalr.sweeps.search.snapshot import read_state, state_of
from dalr.sweeps.search.spec_file import save_spec, saved_spec
from dalr.sweeps.spec.schema import SweepSpec
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium

GRID = {
    "space": {"optim.learning_rate": {"choice": [1e-5, 1e-4, 1e-3, 1e-2]}, "objective.intra_modal": {"choice": [0.2]}},
    "sampler": {"name": "grid"},
    "budget": {},
}
RANDOM = {"sampler": {"name": "random", "seed": 3}}


def begun(chosen: SweepSpec, out: Path, **options: Any) -> Coordinator:
    """A sweep as `run_sweep` makes one, that looks for requests whenever it may."""
    out.mkdir(parents=True, exist_ok=True)
    save_spec(chosen, out)
    search = coordinator(chosen, out, touch=False, **options)
    steered(search, chosen, out)
    search.listen = Control(search, chosen, lambda spec: save_spec(spec, out), every=0).look
    return search


def ask(search: Coordinator, action: str, trial: int | None = None, **values: Any) -> Request:
    """Makes a request, which the sweep obeys when it looks next."""
    request = new_request(action, trial, {key.replace("__", "."): value for key, value in values.items()})  # type: ignore[arg-type]
    RequestLog(search.record_study).ask(request)
    return request


def answer(search: Coordinator, action: str, trial: int | None = None, **values: Any) -> Request:
    """Makes a request and lets the sweep look at once; the request with its answer."""
    request = ask(search, action, trial, **values)
    search.listen()
    return RequestLog(search.record_study).get(request)


def at_report(search: Coordinator, number: int, request: Callable[[], object]) -> None:
    """Lets `request` be made when the worker has made so many reports."""
    inner, count = search.on_report, 0

    def on_report(key: str, report: Report) -> bool:
        nonlocal count
        count += 1
        if count == number:
            request()
        return inner(key, report)

    search.on_report = on_report  # type: ignore[method-assign]


def rows(out: Path) -> list[tuple]:
    frame = pl.read_parquet(out / "trials.parquet").sort("trial", "seed")
    return frame.select("trial", "state", "value", "optim.learning_rate", "objective.intra_modal").rows()


def test_a_stopped_trial_is_told_apart_and_teaches_nothing(tmp_path: Path) -> None:
    search = begun(spec(), tmp_path)
    at_report(search, 7, lambda: ask(search, "stop", 1))  # trial 1, at its evaluation of step 3
    fakes.work(search)
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame["state"].to_list() == ["complete", "stopped", *["complete"] * 4]
    assert frame["reason"][1] == "stopped by hand after step 3"
    assert frame["steps"][1] == 3
    assert (tmp_path / "runs" / "trial-0001-seed-1" / "step.json").is_file(), "its checkpoint stays"
    state = read_state(tmp_path)
    assert state.trials == state_of(search).trials
    assert "5 complete, 0 pruned, 0 failed, 1 stopped, 0 running" in counts_line(state)
    text = "\n".join(explain(state, 1))
    assert "trial 1 of quickstart: stopped: stopped by hand after step 3" in text
    assert "stop 1: obeyed: trial 1 saves and leaves" in text
    states = [trial.state.name for trial in search.studies["quickstart"].study.trials]
    assert states == ["COMPLETE", "FAIL", *["COMPLETE"] * 4], "for the sampler it says nothing of its point"


def test_a_request_is_obeyed_over_a_kill_and_once(tmp_path: Path) -> None:
    search = begun(spec(), tmp_path)
    fakes.work(search, reports=6)
    ask(search, "stop", 1)
    ask(search, "add", optim__learning_rate=2e-3)
    ask(search, "set", budget__trials=7)  # the driver is killed before it looks
    again = begun(spec(), tmp_path)
    again.listen()
    fakes.work(again, reports=4)  # and again
    last = begun(spec(), tmp_path)
    fakes.work(last)
    frame = pl.read_parquet(tmp_path / "trials.parquet").sort("trial")
    assert frame["trial"].to_list() == list(range(7))
    assert frame["state"][1] == "stopped"
    assert frame.filter(pl.col("optim.learning_rate") == 2e-3)["trial"].to_list() == [2]
    events = RequestLog(last.record_study).all()
    assert [(event.action, event.state) for event in events] == [
        ("stop", "obeyed"),
        ("add", "obeyed"),
        ("set", "obeyed"),
    ]


@pytest.mark.parametrize("action", ["stop", "add", "skip", "pause", "set"])
def test_a_kill_between_obedience_and_answer_changes_nothing(
    tmp_path: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = spec(**GRID) if action == "skip" else spec(**RANDOM)
    search = begun(chosen, tmp_path)
    fakes.work(search, reports=6)
    search = begun(chosen, tmp_path)
    trial = {"stop": 1, "pause": 1, "skip": 3}.get(action)
    values = {"add": {"optim__learning_rate": 2e-3}, "set": {"budget__trials": 5}}.get(action, {})
    with monkeypatch.context() as patch:
        patch.setattr(RequestLog, "answer", lambda *words: None)
        request = ask(search, action, trial, **values)
        search.listen()
    again = begun(chosen, tmp_path)
    again.listen()
    assert RequestLog(again.record_study).get(request).state == "obeyed"
    if action == "pause":
        assert again.held()
        ask(again, "resume", 1)
    fakes.work(again)
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    expected = {
        "stop": ["complete", "stopped", *["complete"] * 4],
        "skip": ["complete", "complete", "complete", "skipped"],
        "set": ["complete"] * 5,
    }
    assert frame["state"].to_list() == expected.get(action, ["complete"] * 6)
    if action == "add":
        assert (frame["optim.learning_rate"] == 2e-3).sum() == 1


def test_an_added_point_is_as_if_the_specification_had_it(tmp_path: Path) -> None:
    first, second = {"optim.learning_rate": 3e-3}, {"optim.learning_rate": 2e-3, "objective.intra_modal": 0.5}
    fakes.work(begun(spec(try_first=[first, second], **RANDOM), tmp_path / "whole"))
    search = begun(spec(try_first=[first], **RANDOM), tmp_path / "added")
    at_report(search, 2, lambda: ask(search, "add", optim__learning_rate=2e-3, objective__intra_modal=0.5))
    fakes.work(search)
    assert rows(tmp_path / "added") == rows(tmp_path / "whole")
    assert [trial.added is not None for trial in read_state(tmp_path / "added").trials] == [False, True, *[False] * 4]


def test_an_added_point_comes_before_the_rest_of_a_design(tmp_path: Path) -> None:
    fakes.work(begun(spec(**GRID), tmp_path / "whole"))
    search = begun(spec(**GRID), tmp_path / "added")
    at_report(search, 2, lambda: ask(search, "add", optim__learning_rate=1e-2))
    fakes.work(search)
    rates = [row[3] for row in rows(tmp_path / "added")]
    assert rates == [1e-5, 1e-2, 1e-4, 1e-3, 1e-2], "the added one is the grid's fourth: with another seed, in its turn"


def test_a_skipped_point_is_as_if_the_specification_had_it_not(tmp_path: Path) -> None:
    less = {**GRID["space"], "optim.learning_rate": {"choice": [1e-5, 1e-4, 1e-2]}}  # type: ignore[dict-item]
    fakes.work(begun(spec(**{**GRID, "space": less}), tmp_path / "whole"))
    search = begun(spec(**GRID), tmp_path / "skipped")
    at_report(search, 2, lambda: ask(search, "skip", 2))
    fakes.work(search)
    left = [row[1:] for row in rows(tmp_path / "skipped") if row[1] != "skipped"]
    assert left == [row[1:] for row in rows(tmp_path / "whole")]
    frame = pl.read_parquet(tmp_path / "skipped" / "trials.parquet")
    assert frame["state"].to_list() == ["complete", "complete", "skipped", "complete"]
    assert frame["reason"][2] == "skipped by hand"
    assert not (tmp_path / "skipped" / "runs" / "trial-0002-seed-1").exists()
    assert read_state(tmp_path / "skipped").used() == 1.0


def test_no_budget_counts_a_skipped_trial_and_a_number_stays_with_its_point(tmp_path: Path) -> None:
    first = [{"optim.learning_rate": rate} for rate in (1e-3, 2e-3, 3e-3)]
    search = begun(spec(try_first=first, budget={"trials": 4}, **RANDOM), tmp_path)
    search.next_task("a")
    assert answer(search, "skip", 2).state == "obeyed"
    assert answer(search, "add", optim__learning_rate=9e-3).answer == "trial 1 has this point"
    search.on_report("a", Report(1, "a", 9, 1.0, "complete", 50.0, 50.0, (50.0,), total=9, last=True))
    fakes.work(search)
    rates = [(row[1], row[3]) for row in rows(tmp_path)]
    assert rates[:4] == [("complete", 1e-3), ("complete", 9e-3), ("complete", 2e-3), ("skipped", 3e-3)]
    assert len(rates) == 5


def test_a_paused_trial_waits_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    fakes.work(begun(spec(budget={"trials": 2}), tmp_path / "whole"))
    search = begun(spec(budget={"trials": 2}), tmp_path / "paused")
    at_report(search, 2, lambda: ask(search, "pause", 0))
    with pytest.raises(AssertionError):
        fakes.work(search)  # trial 1 is done, trial 0 waits: there is nothing to do, and the sweep is not over
    assert [trial.state for trial in state_of(search).trials] == ["running", "complete"]
    assert "1 running (1 paused)" in counts_line(read_state(tmp_path / "paused"))
    again = begun(spec(budget={"trials": 2}), tmp_path / "paused")
    assert again.next_task("x") is None, "it waits over a kill"
    assert not again.over
    ask(again, "resume", 0)
    fakes.work(again)
    assert rows(tmp_path / "paused") == rows(tmp_path / "whole")
    steps = (tmp_path / "paused" / "runs" / "trial-0000-seed-1" / "steps.jsonl").read_text().splitlines()
    assert [int(line[1:].split(",")[0]) for line in steps] == list(range(1, 10)), "no step is done twice"


def test_a_paused_sweep_hands_nothing_out_until_it_goes_on(tmp_path: Path) -> None:
    search = begun(spec(budget={"trials": 2}), tmp_path)
    at_report(search, 2, lambda: ask(search, "pause"))
    with pytest.raises(AssertionError):
        fakes.work(search)
    assert read_state(tmp_path).paused
    assert [trial.state for trial in state_of(search).trials] == ["running"]
    again = begun(spec(budget={"trials": 2}), tmp_path)
    assert again.next_task("x") is None
    ask(again, "resume")
    fakes.work(again)
    assert {row[1] for row in rows(tmp_path)} == {"complete"}


def test_a_trial_that_is_resumed_before_it_has_left_goes_on(tmp_path: Path) -> None:
    search = begun(spec(budget={"trials": 1}), tmp_path)
    search.next_task("a")
    assert answer(search, "pause", 0).state == "obeyed"
    assert answer(search, "resume", 0).state == "obeyed"
    search.on_report("a", Report(1, "a", 2, 1.0, total=9, left=True))
    assert not search.live
    fakes.work(search)
    assert rows(tmp_path)[0][1] == "complete"


@pytest.mark.parametrize("intent", ["stop", "pause"])
def test_a_worker_that_dies_while_it_is_leaving_has_left(tmp_path: Path, intent: str) -> None:
    search = begun(spec(budget={"trials": 1}), tmp_path)
    search.next_task("a")
    answer(search, intent, 0)
    search.on_worker_lost("a", "its worker died: SIGKILL")
    (trial,) = state_of(search).trials
    assert (trial.state, trial.paused) == (("stopped", False) if intent == "stop" else ("running", True))


def test_a_stopped_sweep_hands_nothing_out_and_the_same_command_goes_on(tmp_path: Path) -> None:
    fakes.work(begun(spec(), tmp_path / "whole"))
    search = begun(spec(), tmp_path / "stopped")
    at_report(search, 6, lambda: ask(search, "stop"))
    with pytest.raises(AssertionError):
        fakes.work(search)
    assert search.over
    assert not search.finished
    fakes.work(begun(spec(), tmp_path / "stopped"))
    assert rows(tmp_path / "stopped") == rows(tmp_path / "whole")


def test_a_stop_of_a_sweep_that_does_not_run_is_refused_when_it_starts(tmp_path: Path) -> None:
    search = begun(spec(), tmp_path)
    request = ask(search, "stop")
    again = begun(spec(), tmp_path)
    assert RequestLog(again.record_study).get(request).answer == NOT_RUNNING
    assert not again.ending


def test_final_runs_are_done_after_a_pause(tmp_path: Path) -> None:
    chosen = spec(budget={"trials": 1}, seeds={"final": 1})
    search = begun(chosen, tmp_path)
    at_report(search, 7, lambda: ask(search, "pause"))  # the first final run's second report
    with pytest.raises(AssertionError):
        fakes.work(search)
    ask(search, "resume")
    fakes.work(search)
    assert [record.run.state for record in search.finals["quickstart"].records()] == ["complete"] * 2


def test_a_budget_that_is_set_holds_until_a_command_says_otherwise(tmp_path: Path) -> None:
    search = begun(spec(), tmp_path)
    at_report(search, 2, lambda: ask(search, "set", budget__trials=8, resources__concurrent=1))
    fakes.work(search)
    assert len(rows(tmp_path)) == 8
    assert saved_spec(tmp_path).budget.trials == 8
    again = begun(spec(), tmp_path)
    assert again.spec.budget.trials == 8, "the same command"
    assert again.spec.resources.concurrent == 1
    other = begun(spec(budget={"trials": 9}), tmp_path)
    assert other.spec.budget.trials == 9, "a newer word"
    assert begun(spec(budget={"trials": 9}), tmp_path).spec.budget.trials == 9


def test_how_many_run_at_once_is_set_between_two_trials(tmp_path: Path) -> None:
    search = begun(spec(**RANDOM), tmp_path, concurrent=4)
    for key in "ab":
        search.next_task(key)
        search.on_report(key, Report(1, key, 0, 1.0, total=9))
    answer(search, "set", resources__concurrent=2)
    assert search.next_task("c") is None
    answer(search, "set", resources__concurrent=3)
    assert search.next_task("c") is not None
    assert search.next_task("d") is None


def test_a_target_that_is_set_ends_the_search_and_a_larger_one_lets_it_go_on(tmp_path: Path) -> None:
    search = begun(spec(**RANDOM), tmp_path)
    at_report(search, 6, lambda: ask(search, "set", stop__target=1.0))
    fakes.work(search)
    assert len(rows(tmp_path)) == 2
    assert answer(search, "add", optim__learning_rate=1e-3).state == "refused"
    answer(search, "set", stop__target=99.0)
    fakes.work(search)
    assert len(rows(tmp_path)) == 6


@pytest.mark.parametrize(
    ("action", "trial", "values", "message"),
    [
        ("stop", 9, {}, "no trial 9 (trials: 0 to 1)"),
        ("stop", 0, {}, "trial 0 has ended (complete): there is nothing to stop"),
        ("stop", 2, {}, "trial 2 has not begun; dalr sweep skip"),
        ("pause", 0, {}, "there is nothing to pause"),
        ("resume", 1, {}, "trial 1 is not paused"),
        ("resume", None, {}, "the sweep is not paused"),
        ("skip", 1, {}, "trial 1 has begun; dalr sweep stop"),
        ("skip", 0, {}, "there is nothing to skip"),
        ("skip", 3, {}, "trial 3 has no point yet: it is drawn when its turn comes"),
        ("skip", 40, {}, "no trial 40"),
        ("add", None, {"optim__learning_rat": 1e-3}, "did you mean optim.learning_rate?"),
        ("add", None, {"optim__learning_rate": 1.0}, "1.0 does not lie in the space (log: [1e-05, 0.01])"),
        ("add", None, {"optim__learning_rate": "high"}, "'high' does not lie in the space"),
        ("set", None, {"budget__trails": 9}, "did you mean budget.trials?"),
        ("set", None, {"train__steps": 9}, "train.steps cannot be set while a sweep runs"),
        ("set", None, {"budget__trials": -1}, "budget.trials: -1 is not allowed"),
        ("set", None, {"budget__trials": "many"}, "budget.trials: 'many' is not allowed"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, action: str, trial: int | None, values: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command, which then asks nothing; and by the sweep, for what has changed since."""
    first = [{"optim.learning_rate": rate} for rate in (1e-3, 2e-3, 3e-3)]
    search = begun(spec(try_first=first), tmp_path)
    fakes.work(search, reports=6)
    search = begun(spec(try_first=first), tmp_path)
    refused = answer(search, action, trial, **values)
    assert refused.state == "refused"
    assert message in refused.answer
    words = [f"{key.replace('__', '.')}={value}" for key, value in values.items()]
    with pytest.raises(InputError) as caught:
        commands.ask(tmp_path, action, trial, words, quiet=True)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert len(RequestLog(search.record_study).all()) == 1


def test_an_added_trial_counts_in_the_budget(tmp_path: Path) -> None:
    search = begun(spec(budget={"trials": 2}), tmp_path)
    search.next_task("a")
    assert answer(search, "add", optim__learning_rate=1e-3).state == "obeyed"
    full = answer(search, "add", optim__learning_rate=2e-3)
    assert full.state == "refused"
    assert "the budget of 2 trials is used up" in full.answer
    assert "budget.trials=3 first" in full.answer
    assert answer(search, "skip", 1).state == "obeyed", "an added trial has a point, so it can be skipped"


def test_several_recipes_are_told_apart(tmp_path: Path) -> None:
    from dalr.config.loading import load_recipe
    from dalr.config.overrides import to_yaml, with_absolute_paths

    (tmp_path / "other.yaml").write_text(to_yaml(with_absolute_paths(load_recipe("quickstart"))))
    other = str(tmp_path / "other.yaml")
    search = begun(spec(recipe=["quickstart", other], budget={"trials": 2}), tmp_path / "out")
    assert "recipe=NAME" in answer(search, "add", optim__learning_rate=1e-3).answer
    assert answer(search, "add", recipe=other, optim__learning_rate=1e-3).answer == "trial 1 has this point"
    assert answer(search, "stop", 3).answer.startswith("trial 3 has not begun")
    fakes.work(search)
    added = pl.read_parquet(tmp_path / "out" / "trials.parquet").filter(pl.col("optim.learning_rate") == 1e-3)
    assert added["recipe"].to_list() == [other]


def test_a_command_waits_for_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import threading

    search = begun(spec(), tmp_path)
    search.next_task("a")
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.05):
            search.tick()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        commands.add(tmp_path, ["optim.learning_rate=2e-3"])
    finally:
        ended.set()
        thread.join()
    assert "add optim.learning_rate=0.002: trial 1 has this point" in capsys.readouterr().out


def test_a_command_says_when_nobody_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "WAIT_SECONDS", 0.0)
    search = begun(spec(), tmp_path)
    commands.set_values(tmp_path, ["budget.trials=9"])
    assert "set budget.trials=9: written down; it is obeyed when the sweep runs" in capsys.readouterr().out
    search.listen()
    assert search.spec.budget.trials == 9
    with pytest.raises(Failed, match=r"^stop: nobody has answered within 0 s; does the sweep run\?"):
        commands.stop(tmp_path)
