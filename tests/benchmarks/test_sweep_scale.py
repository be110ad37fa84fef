"""What a trial, and a question, cost against the number of trials that a sweep has had."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from dalr.cluster.session import ray_session
from dalr.sweeps.analysis.outcome import outcome_of, write_progress
from dalr.sweeps.commands.explain import explain
from dalr.sweeps.display import best_lines, table
from dalr.sweeps.execution.runner import run_sweep
from dalr.sweeps.search.database import close_storage, database_url, open_storage
from dalr.sweeps.search.snapshot import read_state
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.spec.loading import base_configs
from dalr.sweeps.spec.schema import SweepSpec
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes
from tests.sweeps.search.many_trials import drive, insert_trials

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(6 * 3600)]

COUNTS = (100, 1_000, 10_000)
KINDS = {
    "random": {"sampler": {"name": "random"}},
    "random, asha": {"sampler": {"name": "random"}, "scheduler": {"name": "asha", "grace_steps": 3}},
    "random, stopping rules and raced seeds": {
        "sampler": {"name": "random"}, "seeds": {"per_trial": 2},
        "stop": {"target": 1000.0, "plateau": {"trials": 100_000}, "failures": 5},
    },
    "tpe": {"sampler": {"name": "tpe"}},
}  # fmt: skip
FLAT = ("random", "random, stopping rules and raced seeds")
"""Optuna's ASHA looks at all trials for each report, its TPE for each draw."""


def cpu(work: Callable[[], object]) -> float:
    """The processor's seconds that this process spends on `work`."""
    began = time.process_time()
    work()
    return time.process_time() - began


def filled(chosen: SweepSpec, out: Path, count: int) -> None:
    """A sweep's folder whose study has `count` complete trials."""
    out.mkdir(parents=True)
    save_spec(chosen, out)
    storage = open_storage(database_url(chosen, out))
    insert_trials(coordinator(chosen, out, storage=storage, touch=False).studies["quickstart"], storage.engine, count)
    close_storage(storage)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trial_from_its_draw_to_its_end(tmp_path: Path, kind: str) -> None:
    """The sweep's own work, without Tune: a draw and three reports."""
    chosen = spec(**KINDS[kind], budget={"trials": 100_000})
    costs = {}
    for count in COUNTS:
        out = tmp_path / str(count)
        filled(chosen, out, count)
        search = coordinator(chosen, out, touch=False)
        search.changed = lambda: None
        drive(search, 5)
        costs[count] = cpu(lambda search=search: drive(search, 50)) / 50  # type: ignore[misc]
    print(f"\n{kind}: " + ", ".join(f"{1000 * cost:.1f} ms after {count:,}" for count, cost in costs.items()))
    if kind in FLAT:
        assert costs[10_000] < 1.5 * costs[100]


def test_questions(tmp_path: Path) -> None:
    """Each within a second of work, imports apart."""
    chosen = spec(sampler={"name": "random"}, budget={"trials": 100_000}, scheduler={"name": "asha", "grace_steps": 3})
    filled(chosen, tmp_path / "out", COUNTS[-1])
    out, bases, console = tmp_path / "out", base_configs(chosen), Console(file=io.StringIO())
    state = read_state(out)
    costs = {
        "status": cpu(lambda: console.print(table(read_state(out, scores=False)))),
        "best": cpu(lambda: best_lines(outcome_of(read_state(out)))),
        "why": cpu(lambda: explain(read_state(out, scores=False), 5_000)),
        "the table, from memory": cpu(lambda: console.print(table(state))),
        "trials.parquet and best.yaml": cpu(lambda: write_progress(state, bases)),
    }
    print("\nafter 10,000 trials: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in costs.items()))
    assert max(costs.values()) < 1.0


@pytest.mark.cluster
@pytest.mark.parametrize("count", COUNTS)
def test_trivial_trials_through_tune(tmp_path: Path, count: int) -> None:
    """Whole trials, two at a time: Tune, database, files and run folders, the wall time of each hundred."""
    chosen = spec(
        budget={"trials": count},
        sampler={"name": "random"},
        overrides={"train.steps": 2, "train.eval_every": 1},
        resources={"concurrent": 2},
    )
    with ray_session(cpus=2, quiet=True):
        outcome = run_sweep(chosen, tmp_path, quiet=True, train=fakes.train)
    assert outcome.state.counts["complete"] == count
    study = coordinator(chosen, tmp_path, touch=False).studies["quickstart"].study
    ends = sorted(trial.datetime_complete.timestamp() for trial in study.get_trials(deepcopy=False))  # type: ignore[union-attr]
    costs = [1000 * (part[-1] - part[0]) / 99 for part in zip(*[iter(ends)] * 100, strict=True)]
    print(f"\n{count:,} trivial trials, ms a trial in each hundred: " + " ".join(f"{cost:.0f}" for cost in costs))
