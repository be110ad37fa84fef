"""One commit for an event, and reading past Optuna's objects."""

from pathlib import Path

import pytest
import ray
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from dalr.sweeps.search.database import database_url, open_storage
from dalr.sweeps.search.records import Report
from dalr.sweeps.search.samplers import distribution
from dalr.sweeps.search.snapshot import read_state, state_of
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.search.stored_trials import StoredStudies
from dalr.sweeps.search.study_schema import trial_record
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium


def test_an_event_is_in_the_database_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver dies in the middle of writing a trial's end."""
    search = coordinator(spec(), tmp_path)
    task = search.next_task("a")
    assert task is not None
    study = search.studies["quickstart"]
    last = Report(task.runs[0]["seed"], "a", 9, 5.0, "complete", 60.0, 60.0, (60.0,), total=9, last=True)
    with monkeypatch.context() as patched:
        patched.setattr(study.study, "tell", lambda *args, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            search.on_report("a", last)
    again = coordinator(spec(), tmp_path).studies["quickstart"].trials()[0]
    assert again.state == "running"
    assert again.runs[0].steps == 0, "no half of the event"
    assert again.scores == {}


def test_a_part_that_the_database_undid_ends_the_event(tmp_path: Path) -> None:
    """Optuna ignores an integrity error that it takes for another writer's; here there is none."""
    search = coordinator(spec(), tmp_path)

    task = search.next_task("a")
    assert task is not None
    rate = distribution(search.spec.searched["optim.learning_rate"])

    def lose() -> None:
        with search.storage.event():
            search.storage.set_study_user_attr(1, "lost", 1)
            search.storage.set_trial_param(1, "optim.learning_rate", 1e-3, rate)  # it has one

    with pytest.raises(StorageInternalError, match="undid a part"):
        lose()
    assert "lost" not in search.storage.get_study_user_attrs(1)


def test_a_question_without_an_answer_undoes_nothing(tmp_path: Path) -> None:
    """Optuna's pruners ask for the best trial, and go on where there is none."""
    search = coordinator(spec(), tmp_path)
    with search.storage.event():
        search.storage.set_study_user_attr(1, "kept", 1)
        with pytest.raises(ValueError, match="Record does not exist"):
            search.storage.get_best_trial(1)
        search.storage.set_study_user_attr(1, "too", 2)
    kept = coordinator(spec(), tmp_path).storage.get_study_user_attrs(1)
    assert (kept["kept"], kept["too"]) == (1, 2)


def test_trials_come_as_optuna_gives_them(tmp_path: Path) -> None:
    chosen = spec(scheduler={"name": "asha", "grace_steps": 3})
    search = coordinator(chosen, tmp_path)
    fakes.work(search, reports=15)
    search.studies["quickstart"].study.enqueue_trial({"optim.learning_rate": 1e-3})
    optunas = RDBStorage(database_url(chosen, tmp_path))
    study_id = search.studies["quickstart"].study._study_id
    for states in (None, (TrialState.WAITING,), (TrialState.RUNNING, TrialState.WAITING), (TrialState.COMPLETE,)):
        expected = optunas.get_all_trials(study_id, deepcopy=False, states=states)
        assert search.storage.get_all_trials(study_id, deepcopy=False, states=states) == expected
    assert len(search.storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.WAITING,))) == 1


def test_the_database_is_read_as_optuna_reads_it(tmp_path: Path) -> None:
    median = {"name": "median", "grace_steps": 3}
    chosen = spec(seeds={"per_trial": 2, "final": 1}, constraints={"seconds": {"max": 1e-9}}, scheduler=median)
    save_spec(chosen, tmp_path)
    search = coordinator(chosen, tmp_path, touch=False)
    fakes.work(search)
    engine = open_storage(database_url(chosen, tmp_path)).engine
    assert isinstance(engine, sqlalchemy.Engine)
    studies = StoredStudies(engine)
    study = search.studies["quickstart"].study
    read = studies.trials(study.study_name, studies.rows(study.study_name), "quickstart", index=1, count=3)
    assert read == [trial_record(trial, "quickstart", 3 * trial.number + 1) for trial in study.trials]
    assert any(trial.violation for trial in read)
    assert any(trial.scores for trial in read)
    studies.close()
    search.stop_clock()
    state, mine = read_state(tmp_path), state_of(search)
    assert (state.trials, state.finals, state.stopped_by) == (mine.trials, mine.finals, mine.stopped_by)
    assert state.hours == pytest.approx(mine.hours, abs=1 / 60)


def test_tune_can_write_a_copy(tmp_path: Path) -> None:
    """Of its searcher and scheduler, and with them of all that they hold."""
    search = coordinator(spec(), tmp_path)
    assert search.next_task("a") is not None
    assert ray.cloudpickle.loads(ray.cloudpickle.dumps(search)).out == search.out


def test_final_runs_are_read_as_optuna_reads_them(tmp_path: Path) -> None:
    chosen = spec(budget={"trials": 2}, seeds={"final": 2})
    save_spec(chosen, tmp_path)
    search = coordinator(chosen, tmp_path, touch=False)
    fakes.work(search)
    records = search.finals["quickstart"].records()
    assert len(records) == 4
    assert read_state(tmp_path).finals == tuple(records)
