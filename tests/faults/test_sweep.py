"""What is killed while a sweep draws, trains, ends a trial, or does its final runs: nothing is lost, nothing is
twice, and with one trial at a time the numbers are those of a sweep that nothing disturbed.

Here without Ray: a loop in this process plays Tune and its workers, so that each moment is met exactly. A node is, to a
sweep, its workers.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from dalr.sweeps.execution.trial import run_task
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.database import close_storage, database_url, open_storage
from dalr.sweeps.search.records import Report, Task
from dalr.sweeps.spec.schema import SweepSpec
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes
from tests.sweeps.search.test_postgres import database  # noqa: F401

pytestmark = pytest.mark.medium

CHOSEN: dict[str, Any] = {"budget": {"trials": 4}, "sampler": {"name": "tpe", "startup": 2}, "seeds": {"final": 1}}


class Killed(BaseException):
    """The process that runs the sweep is no more."""


Moment = Callable[[str, tuple[Any, ...], dict[str, Any]], bool]


def counted(method: str, place: int, fits: Callable[..., bool] = lambda *words, **options: True) -> Moment:
    """The `place`-th call of a storage's method, of those that fit."""
    seen = 0

    def is_now(name: str, words: tuple[Any, ...], options: dict[str, Any]) -> bool:
        nonlocal seen
        if name != method or not fits(*words, **options):
            return False
        seen += 1
        return seen == place

    return is_now


def completes(trial: int, state: TrialState, values: object = None) -> bool:
    return state == TrialState.COMPLETE


def is_run(trial: int, key: str, value: object) -> bool:
    return key == "run"  # a final run's record


MOMENTS: dict[str, Callable[[], Moment]] = {
    "drawing": lambda: counted("_set_trial_param", 6),  # the third trial has one of its two values
    "training": lambda: counted("set_trial_intermediate_value", 5),  # the second trial's second score
    "ending": lambda: counted("set_trial_state_values", 2, completes),  # the second trial
    "finals": lambda: counted("set_trial_user_attr", 3, is_run),  # the first final run, at work
    "ending a final run": lambda: counted("set_trial_state_values", 5, completes),
}
METHODS = ("_set_trial_param", "set_trial_intermediate_value", "set_trial_state_values", "set_trial_user_attr")


def at(patch: pytest.MonkeyPatch, moment: Moment, act: Callable[[], None], *, before: bool) -> None:
    """Lets `act` be called once, around the call of the storage that is the moment."""
    for name in METHODS:
        inner = getattr(RDBStorage, name)

        def call(self, *words, inner=inner, name=name, **options):  # type: ignore[no-untyped-def]
            now = moment(name, words, options)
            if now and before:
                act()
            result = inner(self, *words, **options)
            if now and not before:
                act()
            return result

        patch.setattr(RDBStorage, name, call)


def begin(chosen: SweepSpec, out: Path) -> tuple[Coordinator, RDBStorage]:
    storage = open_storage(database_url(chosen, out))
    return coordinator(chosen, out, storage=storage), storage


def outcome(search: Coordinator, out: Path) -> dict[str, Any]:
    """All that a sweep leaves: its trials with points, values and fates, its final runs, the steps of each run."""
    frame = pl.read_parquet(out / "trials.parquet").sort("trial", "seed").drop("seconds")
    finals = [
        (record.candidate, record.run.seed, record.run.state, record.run.value)
        for record in search.finals["quickstart"].records()
    ]
    return {"trials": frame.rows(named=True), "finals": finals}


def check_steps(out: Path, *, again: int) -> None:
    """Each run has each step, and at most `again` steps were done a second time, after its last checkpoint."""
    twice = 0
    for path in out.glob("runs/*/steps.jsonl"):
        steps = Counter(json.loads(line)[0] for line in path.read_text().splitlines())
        assert set(steps) == set(range(1, 10))
        twice += sum(steps.values()) - len(steps)
    assert twice <= again


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed")
    search, storage = begin(spec(**CHOSEN), out)
    fakes.work(search)
    whole = outcome(search, out)
    close_storage(storage)
    assert len(whole["trials"]) == 4
    assert len(whole["finals"]) == 2
    return whole


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_driver(tmp_path: Path, undisturbed: dict[str, Any], moment: str, before: bool) -> None:
    """Killed before and after the write that makes the moment."""

    def kill() -> None:
        raise Killed

    search, storage = begin(spec(**CHOSEN), tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        at(patch, MOMENTS[moment](), kill, before=before)
        with pytest.raises(Killed):
            fakes.work(search)
    close_storage(storage)
    search, storage = begin(spec(**CHOSEN), tmp_path)
    fakes.work(search)
    assert outcome(search, tmp_path) == undisturbed
    check_steps(tmp_path, again=3)
    close_storage(storage)


class WorkerDied(BaseException):
    """A trial's process is no more; Tune starts the trial again in another one."""


def work_with_deaths(search: Coordinator, dies: Callable[[str, Report, bool], bool]) -> int:
    """As `fakes.work`; a worker dies where `dies` says so of the task's name, a report, and whether that has
    arrived. Returns how many died."""
    deaths = 0
    for key in map(str, range(1000)):
        task = search.next_task(key)
        if task is None:
            return deaths

        def tell(report: Report, key: str = key, task: Task = task) -> None:
            if dies(task.name, report, False):
                raise WorkerDied
            over = search.on_report(key, report)
            if dies(task.name, report, True):
                raise WorkerDied
            if over:
                raise SystemExit

        while True:
            try:
                run_task(task, tell, fakes.train)
            except WorkerDied:
                deaths += 1
                if key not in search.live:  # Tune hears of the death, the sweep has its report
                    search.on_worker_lost(key, "its worker died")
                    break
                continue
            except SystemExit:
                pass
            break
    raise AssertionError("the sweep does not end")


@pytest.mark.parametrize("arrived", [False, True], ids=["before its report", "after its report"])
@pytest.mark.parametrize(
    ("name", "step", "state"),
    [
        pytest.param("trial-0001", 0, "running", id="starting"),
        pytest.param("trial-0001", 6, "running", id="training"),
        pytest.param("trial-0001", 9, "complete", id="ending"),
        pytest.param("final-quickstart-base", 6, "running", id="finals"),
        pytest.param("final-quickstart-base", 9, "complete", id="ending a final run"),
    ],
)
def test_worker(tmp_path: Path, undisturbed: dict[str, Any], name: str, step: int, state: str, arrived: bool) -> None:
    died = False

    def dies(task: str, report: Report, has_arrived: bool) -> bool:
        nonlocal died
        now = (task, report.step, report.state, has_arrived) == (name, step, state, arrived) and not died
        died = died or now
        return now

    search, storage = begin(spec(**CHOSEN), tmp_path)
    assert work_with_deaths(search, dies) == 1
    assert outcome(search, tmp_path) == undisturbed
    check_steps(tmp_path, again=3)
    close_storage(storage)


@pytest.mark.parametrize("moment", MOMENTS)
def test_database_connection(
    tmp_path: Path,
    undisturbed: dict[str, Any],
    moment: str,
    database: str,  # noqa: F811
) -> None:
    """PostgreSQL ends every connection; the sweep makes them again and goes on, as if nothing had been."""
    ended = 0

    def end_connections() -> None:
        import psycopg

        nonlocal ended
        with psycopg.connect(database) as connection:
            ended = len(connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where pid <> pg_backend_pid() and backend_type = 'client backend'"
            ).fetchall())  # fmt: skip

    empty_database(database)
    chosen = spec(**CHOSEN, storage=database)
    search, storage = begin(chosen, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        at(patch, MOMENTS[moment](), end_connections, before=True)
        fakes.work(search)
    assert ended
    assert outcome(search, tmp_path) == undisturbed
    check_steps(tmp_path, again=0)
    close_storage(storage)


def empty_database(url: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("drop schema public cascade"))
        connection.execute(sqlalchemy.text("create schema public"))
    engine.dispose()
