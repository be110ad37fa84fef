"""`dalr sweep` and its questions, on a finished sweep of fake trials."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from dalr.__main__ import check_command, main
from dalr.cluster.session import free_port
from dalr.errors import InputError
from dalr.sweeps.analysis.outcome import write_outcome
from dalr.sweeps.commands import questions
from dalr.sweeps.commands.questions import best, status
from dalr.sweeps.display import _Announcer, budget_line, ending, live
from dalr.sweeps.search.database import open_storage
from dalr.sweeps.search.snapshot import read_state, state_of
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.spec.loading import base_configs
from tests import ROOT
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `run_sweep` leaves it: six complete trials, one failed, final runs."""
    out = tmp_path_factory.mktemp("finished")
    space = {
        "optim.learning_rate": {"choice": [1e-4, 1e-3, 2e-3]},
        "optim.weight_decay": {"choice": [0.0, 0.1]},
    }
    chosen = spec(space=space, sampler={"name": "one_at_a_time"}, budget={}, seeds={"final": 2})
    save_spec(chosen, out)
    ended = coordinator(chosen, out, touch=False)
    fakes.work(ended)
    ended.stop_clock()
    write_outcome(state_of(ended), base_configs(chosen))
    return out


def test_status_counts_and_lists_failures(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status(finished)
    text = capsys.readouterr().out
    assert "4 trials: 3 complete, 0 pruned, 1 failed, 0 running" in text
    assert "100% of the budget used" in text
    assert "trial 3 failed: RuntimeError: the disk is on fire" in text
    assert "4 of 4 final runs done" in text


def test_paths_are_shortened_as_far_as_they_stay_apart() -> None:
    paths = [
        "optim.learning_rate",
        "objective.soft.rank.temperature",
        "objective.soft.cross.temperature",
        "objective.eta",
    ]
    assert [ending(path, paths) for path in paths] == ["learning_rate", "rank.temperature", "cross.temperature", "eta"]


def test_the_time_left_is_unknown_before_a_trial_has_ended(tmp_path: Path) -> None:
    search = coordinator(spec(budget={"trials": 4, "hours": 12}), tmp_path)
    search.next_task("a")
    assert state_of(search).hours_left() is None
    assert "left" not in budget_line(state_of(search))


def test_a_jobs_log_has_a_line_for_each_trial_that_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "dalr")
    search = coordinator(spec(budget={"trials": 2}, seeds={"final": 1}), tmp_path)
    with live(lambda: state_of(search), quiet=False):
        fakes.work(search)
    text = caplog.text
    assert text.count("trial 0 complete, 9 steps: ") == text.count("trial 1 complete, 9 steps: ") == 1
    assert "final-quickstart-base, seed 1001 complete: " in text
    assert "100% of the budget used" in text


def test_a_jobs_log_is_never_silent_for_long(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line at the start, then one whenever 30 s have passed without any."""
    caplog.set_level("INFO", "dalr")
    clock = [1000.0]
    monkeypatch.setattr("dalr.sweeps.display.time.monotonic", lambda: clock[0])
    search = coordinator(spec(budget={"trials": 2}), tmp_path)
    announcer = _Announcer(lambda: state_of(search))
    lines = []
    for seconds in (0, 2, 27, 2, 10, 25):
        clock[0] += seconds
        announcer.announce()
        lines.append(len(caplog.records))
    assert lines == [1, 1, 1, 2, 2, 3]
    assert "0 trials: 0 complete" in caplog.records[0].getMessage()


def test_best_names_the_winner_and_its_test(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best(finished)
    text = capsys.readouterr().out
    assert "best: trial 1 of quickstart" in text
    assert "the base recipe on STSBenchmark.dev: +" in text
    assert str(finished / "best.yaml") in text


def test_why_tells_a_trials_fate(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions.why(finished, 3)
    text = capsys.readouterr().out
    assert "trial 3 of quickstart: failed: RuntimeError: the disk is on fire" in text
    assert "optim.weight_decay = 0.1" in text
    assert "fakes.py" in text, "the end of the traceback"
    questions.why(finished, 1)
    assert "rank 1 of 3 complete points" in capsys.readouterr().out


def test_the_state_read_from_disk_is_that_of_the_sweep(finished: Path) -> None:
    chosen = read_state(finished).spec
    live = state_of(coordinator(chosen, finished, touch=False))
    read = read_state(finished)
    assert read.trials == live.trials
    assert read.finals == live.finals


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status"], "Missing argument 'DIR'"),
        (["why", "x"], "Missing argument 'TRIAL'"),
        (["why", "x", "first"], "'TRIAL': Input should be a valid integer"),
        (["status", "/nowhere"], "not a sweep's folder"),
        (["dalr_core"], "--out DIR"),
    ],
)
def test_wrong_words_are_refused(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dalr", "sweep", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_request_can_be_sent_as_a_job() -> None:
    """Its words are checked before they are sent; the sweep's folder may lie on the cluster alone."""
    for words in (["stop", "/nfs/core", "3"], ["set", "/nfs/core", "budget.trials=9"], ["add", "/nfs/core", "a.b=1"]):
        check_command(["sweep", *words])
    with pytest.raises(InputError, match=r"Missing argument 'TRIAL'"):
        check_command(["sweep", "skip", "/nfs/core"])
    with pytest.raises(InputError, match="valid integer"):
        check_command(["sweep", "stop", "/nfs/core", "first"])


def test_an_unknown_trial_is_refused(finished: Path) -> None:
    with pytest.raises(InputError, match=r"no trial 9 \(trials: 0 to 3\)"):
        questions.why(finished, 9)


def test_a_changed_recipe_is_refused(finished: Path, tmp_path: Path) -> None:
    chosen = spec(budget={"trials": 1})
    first = coordinator(chosen, tmp_path)
    study = first.studies["quickstart"].study
    noted = study.user_attrs["identity"]
    noted["config"]["train"]["batch_size"] = 7
    study.set_user_attr("identity", noted)
    with pytest.raises(InputError, match=r"has changed since this sweep began: train\.batch_size was 7"):
        coordinator(chosen, tmp_path)


def test_an_unreachable_database_is_refused() -> None:
    with pytest.raises(InputError, match="storage: "):
        open_storage("postgresql://nobody@127.0.0.1:1/none")


def test_the_dashboard_lists_trials_by_our_names_with_notes(finished: Path) -> None:
    port = free_port()
    words = ["sweep", "dashboard", str(finished), "--port", str(port)]
    server = subprocess.Popen([sys.executable, "-m", "dalr", *words], stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        studies = json.loads(_get(f"http://127.0.0.1:{port}/api/studies"))["study_summaries"]
        (search,) = (study for study in studies if not study["study_name"].endswith("-final"))
        assert search["study_name"] == "quickstart"
        detail = json.loads(_get(f"http://127.0.0.1:{port}/api/studies/{search['study_id']}"))
        assert len(detail["trials"]) == 4
        assert detail["objective_names"] == ["STSBenchmark.dev"]
        names = {parameter["name"] for parameter in detail["union_search_space"]}
        assert names == {"optim.learning_rate", "optim.weight_decay"}
        notes = [trial["note"]["body"] for trial in detail["trials"]]
        assert "**trial 1 of quickstart**, complete" in notes[1]
        assert str(finished / "runs" / "trial-0001-seed-1") in notes[1]
        assert "| 9 | " in notes[1]
        assert "failed: RuntimeError: the disk is on fire" in notes[3]
        assert b"<html" in _get(f"http://127.0.0.1:{port}/dashboard/")
    finally:
        server.kill()
        server.wait()


def _get(url: str) -> bytes:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
