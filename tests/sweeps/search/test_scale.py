"""What an event costs after many trials: the same as after few. Counted, not timed."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import sqlalchemy

from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.database import database_url, open_storage
from dalr.sweeps.spec.schema import SweepSpec
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search.many_trials import drive, insert_trials

pytestmark = pytest.mark.medium

FEW, MANY = 50, 3_000


def after(count: int, chosen: SweepSpec, out: Path) -> Coordinator:
    """A sweep that has run `count` trials, without files."""
    out.mkdir()
    storage = open_storage(database_url(chosen, out))
    insert_trials(coordinator(chosen, out, storage=storage).studies["quickstart"], storage.engine, count)
    search = coordinator(chosen, out, storage=storage, now=lambda: 0.0)  # the clock would be saved now and then
    search.changed = lambda: None
    assert search.studies["quickstart"].size() == count
    drive(search, 4)  # what is made once is made
    return search


def statements(search: Coordinator, work: Callable[[], object]) -> Counter[str]:
    """How many statements of each kind, and commits, the database gets while `work` runs."""
    counts: Counter[str] = Counter()
    engine = search.storage._backend.engine

    def count_statement(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        counts[statement.split()[0]] += 1

    def count_commit(connection: Any) -> None:
        counts["COMMIT"] += 1

    sqlalchemy.event.listen(engine, "before_cursor_execute", count_statement)
    sqlalchemy.event.listen(engine, "commit", count_commit)
    try:
        work()
    finally:
        sqlalchemy.event.remove(engine, "before_cursor_execute", count_statement)
        sqlalchemy.event.remove(engine, "commit", count_commit)
    return counts


def operations(work: Callable[[], object]) -> int:
    """How many instructions of Python's interpreter `work` takes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


CASES = {
    "one seed": {},
    "raced seeds and stopping rules": {
        "seeds": {"per_trial": 2},
        "stop": {"target": 99.0, "plateau": {"trials": 10_000}, "failures": 5},
        "budget": {"trials": 100_000, "gpu_hours": 1e6},
        "resources": {"gpus": 1},
    },
}


@pytest.mark.parametrize("case", CASES)
def test_a_trial_costs_as_much_after_many_as_after_few(tmp_path: Path, case: str) -> None:
    chosen = spec(**{"sampler": {"name": "random"}, "budget": {"trials": 100_000}, **CASES[case]})
    few, many = (after(count, chosen, tmp_path / str(count)) for count in (FEW, MANY))
    assert statements(few, lambda: drive(few, 2)) == statements(many, lambda: drive(many, 2))
    assert operations(lambda: drive(many, 1)) <= 1.02 * operations(lambda: drive(few, 1))


def test_an_event_is_one_commit(tmp_path: Path) -> None:
    search = after(3, spec(budget={"trials": 100}), tmp_path / "out")
    counts = statements(search, lambda: drive(search, 5))
    assert counts["COMMIT"] == 5 * 4, "a draw and three reports"
