"""The pool of calls and the runner's progress: what ends, what is lost, what goes wrong. Without Ray, but for what is
Ray's own."""

import os
import signal
import time
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.exceptions

from dalr.cluster.features import ShardProgress, spread
from dalr.cluster.pool import Call, Pool
from dalr.cluster.train import Workers
from dalr.data.store import Shard
from dalr.errors import InputError


class FakeProcesses:
    """Runs a call when its result is asked for, the last started first; loses the first `lost` of them."""

    def __init__(self, lost: int = 0) -> None:
        self.lost = lost
        self.calls: list[Call] = []
        self.most_at_once = 0
        self.cancelled: list[Hashable] = []
        self.closed = False

    def keep(self, value: Any) -> Any:
        return value

    def start(self, call: Call) -> Hashable:
        self.calls.append(call)
        return len(self.calls) - 1

    def wait(self, handles: Sequence[Hashable], timeout: float) -> list[Hashable]:
        self.most_at_once = max(self.most_at_once, len(handles))
        return [handles[-1]]

    def result(self, handle: Any) -> Any:
        if handle < self.lost:
            raise ray.exceptions.WorkerCrashedError
        call = self.calls[handle]
        try:
            return call.function(*call.arguments)
        except Exception as error:
            raise remote(error) from error

    def cancel(self, handle: Hashable) -> None:
        self.cancelled.append(handle)

    def close(self) -> None:
        self.closed = True


def remote(error: Exception) -> ray.exceptions.RayTaskError:
    """An error as it comes back from a worker."""
    return ray.exceptions.RayTaskError(
        "f", f"Traceback (most recent call last):\n  ...\n{error!r}", error, proctitle="ray::f", pid=1, ip="127.0.0.1"
    )


def write_shard(extraction: str, folder: Path, number: int) -> Shard:
    if number == 7:
        raise InputError("data.images: seven.jpg is not a whole picture")
    (folder / f"{number}.npy").write_text(extraction)
    return Shard(number, f"{number}.npy", 1, 1, "")


def calls(folder: Path, numbers: Sequence[int]) -> list[Call]:
    return [Call(f"image shard {number}", write_shard, ("image", folder, number)) for number in numbers]


def shards(folder: Path, numbers: Sequence[int], processes: FakeProcesses, count: int = 2) -> tuple[list[int], int]:
    ticks: list[int] = []
    progress = ShardProgress(dict.fromkeys(numbers, 10), ticks.append)
    found = spread(calls(folder, numbers), folder, Workers(count), progress, dict, processes)
    return [shard.number for shard in found], sum(ticks)


def test_every_shard_is_computed_once_and_at_most_so_many_at_a_time(tmp_path: Path) -> None:
    processes = FakeProcesses()
    assert shards(tmp_path, range(5), processes) == ([1, 2, 3, 4, 0], 50)
    assert (len(processes.calls), processes.most_at_once, processes.cancelled) == (5, 2, [])


def test_a_lost_worker_is_replaced_a_limited_number_of_times(tmp_path: Path) -> None:
    processes = FakeProcesses(lost=3)
    assert shards(tmp_path, [0, 1], processes) == ([1, 0], 20)
    assert len(processes.calls) == 5
    with pytest.raises(ChildProcessError, match="image shard 0: its worker was lost 4 times"):
        shards(tmp_path, [0], FakeProcesses(lost=99))


def test_bad_input_comes_back_as_it_was_and_cancels_the_rest(tmp_path: Path) -> None:
    processes = FakeProcesses()
    with pytest.raises(InputError) as caught:
        shards(tmp_path, [6, 7, 8], processes)
    assert str(caught.value) == "data.images: seven.jpg is not a whole picture"
    assert (len(processes.calls), processes.cancelled, processes.closed) == (2, [0], True)


def test_other_errors_keep_the_workers_traceback() -> None:
    with Pool(Workers(1), FakeProcesses()) as pool:
        pool.submit(Call("division", divmod, (1, 0)))
        with pytest.raises(ray.exceptions.RayTaskError, match="ZeroDivisionError"):
            list(pool.finished())


def test_a_store_that_is_not_shared_is_bad_input(tmp_path: Path) -> None:
    class Elsewhere(FakeProcesses):
        def result(self, handle: Any) -> Any:
            shard = super().result(handle)
            (tmp_path / shard.file).unlink()
            return shard

    with pytest.raises(InputError, match="expected a folder that every node sees"):
        shards(tmp_path, [0], Elsewhere())


def test_progress_never_runs_backwards_and_ends_complete() -> None:
    ticks: list[int] = []
    progress = ShardProgress({0: 10, 1: 4}, ticks.append)
    progress.follow({0: 6})
    progress.follow({0: 2, 1: 1})  # a lost worker's shard starts again
    progress.follow({0: 8})
    progress.finish(1)
    progress.finish(0)
    progress.follow({0: 9, 1: 4})
    assert ticks == [6, 1, 2, 3, 2]


def answers(pool: Pool, calls: Sequence[Call]) -> list[Any]:
    """What the calls return, in the order in which they end."""
    waiting, returned = list(calls), []
    while waiting or pool.busy:
        while waiting and pool.free:
            pool.submit(waiting.pop(0))
        returned += [value for _, value in pool.finished()]
    return returned


def die_once(folder: Path) -> int:
    """Kills its process at the first call."""
    if not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@pytest.mark.cluster
@pytest.mark.timeout(600)
class TestOnRay:
    """On a cluster of two CPUs."""

    def test_a_process_holds_its_place_and_what_it_loaded_until_the_pool_ends(self, ray_cluster: None) -> None:
        with Pool(Workers(1, cpus=2)) as pool:
            first, again = answers(pool, [Call("id", os.getpid, ())]), answers(pool, [Call("id", os.getpid, ())])
            assert first == again
            assert ray.available_resources().get("CPU", 0) == 0, "Ray would place others beside what is loaded"
        for _ in range(600):
            if ray.available_resources().get("CPU", 0) == 2:
                break
            time.sleep(0.1)
        else:
            pytest.fail("the pool has ended, its processes have not")

    def test_calls_do_not_wait_for_processes_that_find_no_room(self, ray_cluster: None) -> None:
        with Pool(Workers(4, cpus=1)) as pool:
            assert sorted(answers(pool, [Call(f"{n}", abs, (n,)) for n in range(9)])) == list(range(9))

    def test_a_process_that_dies_is_replaced_and_its_call_repeated(self, ray_cluster: None, tmp_path: Path) -> None:
        with Pool(Workers(1, cpus=1)) as pool:
            (before,) = answers(pool, [Call("id", os.getpid, ())])
            (after,) = answers(pool, [Call("death", die_once, (tmp_path,))])
        assert before != after
