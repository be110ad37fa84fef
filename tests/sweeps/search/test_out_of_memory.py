"""A trial that runs out of memory: whose doing it is, and how it goes on."""

from pathlib import Path

import pytest

from dalr.config.loading import read_config
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.records import Report, Task
from dalr.training.callbacks import Callback, Outcome
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium

ONE_POINT = {"objective.intra_modal": {"choice": [0.2]}}
CUDA = "out of memory: CUDA out of memory. Tried to allocate 2.00 GiB"
HOST = "out of memory: can't allocate memory"


def begin(search: Coordinator, key: str) -> Task:
    task = search.next_task(key)
    assert task is not None
    search.on_report(key, Report(task.runs[0]["seed"], key, 0, 1.0, total=9))
    return task


def fail(search: Coordinator, key: str, reason: str) -> None:
    seed = search.live[key].task.runs[0]["seed"]
    search.on_report(key, Report(seed, key, 2, 1.0, "failed", reason=reason, total=9))


@pytest.mark.parametrize(
    ("gpus", "reason", "beside", "settles"),
    [
        (0.5, CUDA, True, False),
        (0.5, CUDA, False, True),
        (1, CUDA, True, True),
        (1, HOST, True, False),
        (0, HOST, True, False),
        (0.5, "RuntimeError: an accident", True, True),
    ],
)
def test_a_lack_of_memory_that_others_may_have_caused_says_nothing_of_the_point(
    tmp_path: Path, gpus: float, reason: str, beside: bool, settles: bool
) -> None:
    chosen = spec(space=ONE_POINT, sampler={"name": "random"}, budget={"trials": 4}, resources={"gpus": gpus})
    search = coordinator(chosen, tmp_path, concurrent=2)
    first = begin(search, "a")
    if beside:
        begin(search, "b")
    fail(search, "a", reason)
    for opened in (search, coordinator(chosen, tmp_path, concurrent=9)):
        assert opened.studies["quickstart"].trials()[0].settles == settles
    again = search.next_task("c")
    states = [trial.state for trial in search.studies["quickstart"].trials()]
    if settles:
        assert again is None
        assert states.count("failed") > 1, "its twins are told"
    else:
        assert again is not None
        assert again.point == first.point


def hungry(config: RunConfig, folder: Path, listener: Callback, task: Task, *, parts: int) -> Outcome:
    """As `fakes.train`; runs out of memory in its fifth step unless it trains in so many parts."""

    class Listener(Callback):
        def on_start(self, step: int, total: int) -> None:
            listener.on_start(step, total)

        def on_evaluation(self, step: int, score: float, metrics: object) -> None:
            if step > 3 and config.train.accumulate < parts:
                raise MemoryError("could not hold the batch")
            listener.on_evaluation(step, score, metrics)  # type: ignore[arg-type]

    return fakes.train(config, folder, Listener(), task)


def work(search: Coordinator, parts: int, *, reports: int | None = None) -> int:
    return fakes.work(search, trainer=lambda *words: hungry(*words, parts=parts), reports=reports)


@pytest.mark.parametrize("killed_after", [None, 2, 3, 4])
def test_it_begins_again_in_smaller_parts(tmp_path: Path, killed_after: int | None) -> None:
    chosen = spec(budget={"trials": 1}, resources={"on_oom": "accumulate"})
    if killed_after is not None:
        work(coordinator(chosen, tmp_path), 2, reports=killed_after)
    search = coordinator(chosen, tmp_path)
    work(search, 2)
    (trial,) = search.studies["quickstart"].trials()
    assert (trial.state, trial.reason, trial.point["train.accumulate"]) == ("complete", None, 2)
    assert read_config(tmp_path / "best.yaml").train.accumulate == 2
    assert read_config(tmp_path / "runs" / "trial-0000-seed-1" / "config.yaml").train.accumulate == 2
    assert len(trial.runs) == 1
    assert trial.scores[9] == trial.values[0]


def test_once_and_then_it_fails(tmp_path: Path) -> None:
    search = coordinator(spec(budget={"trials": 1}, resources={"on_oom": "accumulate"}), tmp_path)
    work(search, 4)
    (trial,) = search.studies["quickstart"].trials()
    assert trial.state == "failed"
    assert trial.reason == "out of memory: could not hold the batch"
    assert trial.point["train.accumulate"] == 2


def test_where_it_cannot_be_doubled_it_fails_as_ever(tmp_path: Path) -> None:
    overrides = {"train.steps": 9, "train.eval_every": 3, "train.batch_size": 1}
    chosen = spec(budget={"trials": 1}, resources={"on_oom": "accumulate"}, overrides=overrides)
    search = coordinator(chosen, tmp_path)
    begin(search, "a")
    fail(search, "a", HOST)
    (trial,) = search.studies["quickstart"].trials()
    assert (trial.state, trial.reason) == ("failed", HOST)


def test_final_runs_of_its_point_train_in_the_same_parts(tmp_path: Path) -> None:
    search = coordinator(spec(budget={"trials": 1}, seeds={"final": 1}, resources={"on_oom": "accumulate"}), tmp_path)
    work(search, 2, reports=6)
    again = coordinator(spec(budget={"trials": 1}, seeds={"final": 1}, resources={"on_oom": "accumulate"}), tmp_path)
    fakes.work(again)
    parts = {record.candidate: record.point.get("train.accumulate") for record in again.finals["quickstart"].records()}
    assert parts == {-1: None, 0: 2}


def test_the_space_decides_the_parts_or_the_sweep_does() -> None:
    with pytest.raises(InputError, match=r"doubles train\.accumulate, which the space searches"):
        spec(space={"train.accumulate": {"int": [1, 4]}}, resources={"on_oom": "accumulate"})
