"""Feature extraction over Ray: the missing shards of an array, each computed by some worker."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.exceptions

from dalr.cluster.pool import Call, Pool, Processes
from dalr.data.store import Extraction, Runner, Shard, Tick, extract_shard
from dalr.errors import InputError

if TYPE_CHECKING:  # it imports torch, which the counter's process does without
    from dalr.cluster.train import Workers

Counts = Callable[[], Mapping[int, int]]
"""How many items of each shard are done by now, as far as is known."""


def ray_runner(workers: "Workers") -> Runner:
    """A runner for `prepare_features` that computes shards on the connected cluster, at most
    `workers.count` at a time.

    The store, the models and the pictures must be where every node sees them. A shard's content
    depends on its own rows only, so the store's bytes are those of one process with the same kind of
    processor. A lost worker's shard is computed again, at most `workers.max_failures` times.

    Raises (the runner, when iterated):
        InputError: as the extraction, or a store that only the worker's node sees.
        ChildProcessError: a shard whose workers are lost every time.
    """
    device = "cuda" if workers.gpus > 0 else "cpu"

    def run(extraction: Extraction, folder: Path, missing: Sequence[int], tick: Tick) -> Iterator[Shard]:
        folder = Path(folder).absolute()
        counter = _Counter.remote()  # type: ignore[attr-defined]
        sizes = {number: stop - start for number, (start, stop) in enumerate(extraction.bounds)}
        progress = ShardProgress({number: sizes[number] for number in missing}, tick)
        # Stored once, not once a shard: the names of a million pictures are part of it.
        shared = ray.put(on_device(extraction, device))
        calls = [Call(f"{extraction.kind} shard {n}", _extract, (shared, folder, n, counter)) for n in missing]
        yield from spread(calls, folder, workers, progress, _Reader(counter))

    return run


def spread(
    calls: Sequence[Call],
    folder: Path,
    workers: "Workers",
    progress: "ShardProgress",
    counts: Counts,
    processes: Processes | None = None,
) -> Iterator[Shard]:
    """Runs calls that each write a shard into `folder`; yields the shards in order of completion."""
    waiting = deque(calls)
    with Pool(workers, processes) as pool:
        while waiting or pool.busy:
            while waiting and pool.free:
                pool.submit(waiting.popleft())
            for call, shard in pool.finished():
                if not (folder / shard.file).is_file():
                    raise InputError(
                        f"data.store: {call.name} was written on a node whose {folder} is not the one here; "
                        "expected a folder that every node sees"
                    )
                progress.finish(shard.number)
                yield shard
            progress.follow(counts())


class ShardProgress:
    """Turns counts that arrive late, or start again after a lost worker, into ticks that add up to the
    items of all shards. `sizes` are the items of each."""

    def __init__(self, sizes: Mapping[int, int], tick: Tick) -> None:
        self._left = dict(sizes)
        self._tick = tick
        self._sizes = sizes

    def follow(self, counts: Mapping[int, int]) -> None:
        """Takes the items done so far of each shard."""
        for number, done in counts.items():
            self._move(number, max(0, self._sizes[number] - done))

    def finish(self, number: int) -> None:
        """Counts all of a shard as done."""
        self._move(number, 0)

    def _move(self, number: int, left: int) -> None:
        if left < self._left[number]:
            self._tick(self._left[number] - left)
            self._left[number] = left


def on_device(extraction: Extraction, device: str) -> Extraction:
    """The same extraction for the workers' device: the driver's may have none, or another."""
    return dataclasses.replace(extraction, device=device)  # type: ignore[type-var]


@ray.remote(num_cpus=0)
class _Counter:
    """Holds how many items of each shard are done."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}

    def put(self, number: int, done: int) -> None:
        self._done[number] = done

    def read(self) -> dict[int, int]:
        return self._done


class _Reader:
    """Asks a counter without waiting for it; an answer is told once it is there. Without its node there
    is none, and the bar moves a whole shard at a time."""

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._asked: ray.ObjectRef | None = None

    def __call__(self) -> Mapping[int, int]:
        asked = self._asked or self._counter.read.remote()
        there, _ = ray.wait([asked], timeout=0)
        self._asked = None if there else asked
        try:
            return ray.get(asked) if there else {}
        except ray.exceptions.RayActorError:
            return {}


def _extract(extraction: Extraction, folder: Path, number: int, counter: Any) -> Shard:
    """What a worker does."""
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        counter.put.remote(number, done)

    return extract_shard(extraction, folder, number, tick)
