"""What happens before and around the trials: random draws, budgets over several starts, preflight."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dalr.cluster.preflight.memory import MemoryEstimate
from dalr.config.schema import RunConfig
from dalr.errors import InputError, NotEnoughResources
from dalr.sweeps.execution import runner as run
from dalr.sweeps.execution.disk import check_space
from dalr.sweeps.execution.tune_adapter import SweepScheduler, SweepSearch, _death
from dalr.sweeps.execution.tune_internals import Trial
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.records import Report
from dalr.sweeps.search.snapshot import state_of
from dalr.sweeps.spec.parts import ResourceSpec
from tests.sweeps.make import coordinator, spec


def begin(search: Coordinator, keys: str) -> list[str]:
    """The keys that get a task; each of them then says that its training has begun."""
    begun = []
    for key in keys:
        task = search.next_task(key)
        if task is not None:
            begun.append(key)
            search.on_report(key, Report(task.runs[0]["seed"], key, 0, 1.0, total=9))
    return begun


def end(search: Coordinator, key: str, value: float | None) -> None:
    seed = search.live[key].task.runs[0]["seed"]
    if value is None:
        search.on_report(key, Report(seed, key, 3, 1.0, "failed", reason="an accident", total=9))
    else:
        search.on_report(key, Report(seed, key, 9, 1.0, "complete", value, value, (value,), total=9, last=True))


@pytest.mark.parametrize("sampler", ["tpe", "multivariate_tpe", "gp", "cmaes"])
def test_no_more_random_trials_than_asked_for(tmp_path: Path, sampler: str) -> None:
    chosen = spec(sampler={"name": sampler, "startup": 3}, budget={"trials": 12})
    search = coordinator(chosen, tmp_path, concurrent=3)
    assert begin(search, "abcdef") == ["a", "b", "c"]
    end(search, "a", 50.0)
    assert begin(search, "d") == [], "a fourth random trial would follow from one result"
    end(search, "b", None)
    assert begin(search, "e") == ["e"], "a failed trial teaches nothing: one more is drawn at random"
    end(search, "c", 51.0)
    end(search, "e", 52.0)
    assert len(begin(search, "ghi")) == 3, "from here on all places are used"


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_no_place_stands_empty_for_want_of_results(tmp_path: Path, sampler: str) -> None:
    search = coordinator(spec(sampler={"name": sampler, "startup": 3}, budget={"trials": 12}), tmp_path, concurrent=6)
    assert begin(search, "abcdefg") == list("abcdef"), "six at once are six at random"
    end(search, "a", 50.0)
    assert begin(search, "h") == [], "a seventh random trial would follow from one result"
    end(search, "b", 51.0)
    end(search, "c", 52.0)
    assert begin(search, "hij") == list("hij")


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_samplers_that_do_not_learn_do_not_wait(tmp_path: Path, sampler: str) -> None:
    search = coordinator(spec(sampler={"name": sampler, "startup": 2}), tmp_path, concurrent=4)
    assert begin(search, "abcd") == ["a", "b", "c", "d"]


def test_start_points_do_not_wait(tmp_path: Path) -> None:
    first = [{"optim.learning_rate": rate} for rate in (1e-3, 1e-4, 2e-3, 3e-3)]
    search = coordinator(spec(try_first=first, sampler={"startup": 2}), tmp_path, concurrent=3)
    assert begin(search, "abc") == ["a", "b", "c"]
    end(search, "a", 50.0)
    assert begin(search, "d") == ["d"], "a point that is drawn would wait for a second result"
    end(search, "b", None)
    assert begin(search, "e") == [], "as this one does"


def test_gpu_hours_of_an_earlier_start_count(tmp_path: Path) -> None:
    chosen = spec(budget={"gpu_hours": 1.0}, resources={"gpus": 0.5, "workers": 2})
    first = coordinator(chosen, tmp_path)
    task = first.next_task("a")
    assert task is not None
    first.on_report("a", Report(task.runs[0]["seed"], "one", 3, 3000.0, score=50.0, best=50.0, total=9))
    second = coordinator(chosen, tmp_path)  # the first driver was killed
    assert state_of(second).gpu_hours("quickstart") == pytest.approx(3000 / 3600)
    again = second.next_task("b")
    assert again is not None
    assert again.name == task.name
    assert second.on_report("b", Report(again.runs[0]["seed"], "two", 6, 700.0, score=51.0, best=51.0, total=9))
    assert state_of(second).gpu_hours("quickstart") == pytest.approx(3700 / 3600)
    assert second.next_task("c") is None
    assert second.finished


def test_time_counts_while_no_worker_reports(tmp_path: Path) -> None:
    clock = SimpleNamespace(time=0.0)
    first = coordinator(spec(), tmp_path, now=lambda: clock.time)
    first.next_task("a")
    clock.time = 500.0
    first.tick()
    assert coordinator(spec(), tmp_path, now=lambda: 0.0).hours_used() == pytest.approx(500 / 3600)


def test_gpu_hours_alone_are_refused_without_gpus() -> None:
    with pytest.raises(InputError, match="trials use no GPU here"):
        run.check_end(spec(budget={"gpu_hours": 1.0}), 0.0)
    run.check_end(spec(budget={"gpu_hours": 1.0}), 0.25)
    run.check_end(spec(budget={"gpu_hours": 1.0, "hours": 2.0}), 0.0)


def test_a_missing_file_is_refused_before_any_trial(tmp_path: Path) -> None:
    chosen = spec(overrides={"train.steps": 9, "train.eval_every": 3, "data.text": str(tmp_path / "none.txt")})
    with pytest.raises(InputError, match=r"data\.text.*none\.txt"):
        run.run_sweep(chosen, tmp_path / "out", quiet=True)
    assert not (tmp_path / "out" / "study.db").exists()


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_space(tmp_path)
    monkeypatch.setattr("dalr.sweeps.execution.disk.shutil.disk_usage", lambda path: SimpleNamespace(free=5e8))
    with pytest.raises(InputError, match=r"only 0\.5 GB are free"):
        check_space(tmp_path)


NODES = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 3.0, "GPU": 4.0}, {"CPU": 16.0}]
MIXED = [
    {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0},
    {"CPU": 8.0, "GPU": 1.0, "accelerator_type:T4": 1.0},
    {"CPU": 64.0},
]


@pytest.mark.parametrize(
    ("resources", "concurrent"),
    [
        ({"workers": 1, "cpus": 1, "gpus": 0.5}, 4 + 3),  # the second node's CPUs are used up before its GPUs
        ({"workers": 1, "cpus": 0.1, "gpus": 0.4}, 2 * 2 + 4 * 2),  # two on a card: its last fifth is nobody's
        ({"workers": 1, "cpus": 0.1, "gpus": 0.3}, 2 * 3 + 4 * 3),
        ({"workers": 1, "cpus": 0.1, "gpus": 2}, 1 + 2),
        ({"workers": 1, "cpus": 1}, 2 + 3),
        ({"workers": 2, "cpus": 1}, 2),  # five workers make two trials; a third would wait for ever
        ({"workers": 5, "cpus": 1}, 1),
        ({"workers": 1, "cpus": 4, "gpus": 0}, 2 + 0 + 4),
        ({"workers": 1, "cpus": 1, "concurrent": 2}, 2),
    ],
)
def test_as_many_trials_run_at_once_as_fit_whole(
    monkeypatch: pytest.MonkeyPatch, resources: dict, concurrent: int
) -> None:
    monkeypatch.setattr("dalr.cluster.preflight.resources.cluster_nodes", lambda: NODES)
    capacity = run.capacity_for(ResourceSpec(**resources))
    assert capacity.concurrent == concurrent
    assert ("CPU" in capacity.bundle) == (resources["workers"] == 1), "a nested trial's own process takes no CPU"


def test_trials_run_on_the_type_of_gpu_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dalr.cluster.preflight.resources.cluster_nodes", lambda: MIXED)
    capacity = run.capacity_for(ResourceSpec(accelerator="A100"))
    assert (capacity.concurrent, capacity.gpus) == (2, 1.0)
    assert capacity.labels == {"ray.io/accelerator-type": "A100"}
    request = run.placement(capacity)
    assert request.to_placement_group.__self__._bound.kwargs["bundle_label_selector"] == [dict(capacity.labels)]
    assert run.capacity_for(ResourceSpec()).concurrent == 3
    assert run.capacity_for(ResourceSpec(workers=2, accelerator="A100")).concurrent == 1
    with pytest.raises(NotEnoughResources, match=r"accelerator is H100, and the cluster's GPUs are A100, T4"):
        run.capacity_for(ResourceSpec(accelerator="H100"))
    with pytest.raises(NotEnoughResources, match="5 workers of 1 GPU make 5 GPU"):
        run.capacity_for(ResourceSpec(workers=5, accelerator="A100"))


def test_trials_are_kept_off_cards_that_are_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = MemoryEstimate(0, 0, 0, activations=20 * 2**30, objective=0, on_gpu=True)
    monkeypatch.setattr("dalr.cluster.preflight.resources.cluster_nodes", lambda: MIXED)
    monkeypatch.setattr("dalr.cluster.preflight.cards.with_card_sizes", lambda nodes: nodes)
    monkeypatch.setattr("dalr.cluster.preflight.resources.expected_memory", lambda *words, **options: estimate)
    capacity = run.capacity_for(ResourceSpec(), [RunConfig()])
    assert capacity.concurrent == 2
    assert capacity.labels == {"ray.io/accelerator-type": "!in(T4)"}


def test_trials_of_several_workers_fit_together_on_the_cluster_that_is_to_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs yet; what the autoscaler may start counts, and no more trials begin than it holds."""
    from dalr.cluster.preflight.resources import autoscaled_nodes

    declared = autoscaled_nodes('[{"count": 5, "CPU": 8, "GPU": 1}]')
    monkeypatch.setattr("dalr.cluster.preflight.resources.cluster_nodes", lambda: declared)
    assert run.capacity_for(ResourceSpec(workers=2)).concurrent == 2, "the fifth GPU is half a trial's"


@pytest.mark.parametrize(
    ("resources", "message"),
    [({"gpus": 1.5}, "whole GPUs only"), ({"gpus": 0, "accelerator": "A100"}, "without a GPU")],
)
def test_gpus_that_cannot_be_given_are_refused(resources: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec(resources=resources)


def test_trials_that_would_not_find_memory_are_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"CPU": 8.0, "memory": 10 * 2**30}]
    estimate = MemoryEstimate(0, 0, 0, activations=2**30, objective=0, on_gpu=False)
    monkeypatch.setattr("dalr.cluster.preflight.resources.cluster_nodes", lambda: nodes)
    monkeypatch.setattr("dalr.cluster.preflight.resources.expected_memory", lambda *words, **options: estimate)
    assert run.capacity_for(ResourceSpec(cpus=1, gpus=0)).concurrent == 8
    assert run.capacity_for(ResourceSpec(cpus=1, gpus=0), [RunConfig()]).concurrent == 10 * 2**30 // estimate.host == 4
    nodes[0]["memory"] = 2**30
    with pytest.raises(NotEnoughResources, match="not enough memory"):
        run.capacity_for(ResourceSpec(cpus=1, gpus=0), [RunConfig()])


def test_workers_of_a_trial_do_not_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dalr.cluster.preflight.resources.cluster_nodes", lambda: NODES)
    with pytest.raises(NotEnoughResources, match="NCCL takes one worker each"):
        run.capacity_for(ResourceSpec(workers=2, gpus=0.5))


def test_a_trial_that_fits_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dalr.cluster.preflight.resources.cluster_nodes", lambda: NODES)
    with pytest.raises(NotEnoughResources, match="not enough GPU: 7 workers of 1 GPU make 7 GPU"):
        run.capacity_for(ResourceSpec(workers=7))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Failure # 1\nray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
            "out of memory: ",
        ),
        (
            "Failure # 1\nold\nFailure # 2\nThe actor is dead because its worker process has died. SIGKILL",
            "its worker died: its worker process has died. SIGKILL",
        ),
    ],
)
def test_a_dead_worker_has_its_reason(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "error.txt").write_text(text)
    assert _death(SimpleNamespace(error_file=str(tmp_path / "error.txt"))).startswith(reason)  # type: ignore[arg-type]


def test_a_second_driver_of_a_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with run.sole_driver(tmp_path):
        second = run.sole_driver(tmp_path)
        with pytest.raises(InputError, match=r"another `dalr sweep` works on this folder \(process \d+ on "), second:
            pass
    with run.sole_driver(tmp_path):
        pass


def test_a_trial_that_was_given_to_a_dead_process_is_handed_out_again(tmp_path: Path) -> None:
    search = coordinator(spec(budget={"trials": 1}), tmp_path)
    scheduler = SweepScheduler(search)
    first = search.next_task("a")
    scheduler.on_trial_error(None, SimpleNamespace(trial_id="a", status=Trial.PENDING))  # type: ignore[arg-type]
    SweepSearch(search).on_trial_complete("a", error=True)  # Tune says so next
    again = search.next_task("b")
    assert first is not None
    assert again is not None
    assert (again.name, again.point) == (first.name, first.point)
    assert state_of(search).counts == {"running": 1}
