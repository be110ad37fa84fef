"""The feature store: arrays that frozen models compute once, in shards, memory-mapped when read.

An array is a folder `<store>/<kind>-<key>/` of float16 `.npy` shards and a `manifest.json`. The key is
a hash of everything that decides the numbers. Shards are written aside and renamed, and enter the
manifest with their checksum, so that a killed extraction goes on where it was: each shard's content
depends on its own rows only, hence the bytes are those of an extraction that was not disturbed.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dalr import files
from dalr.checksums import checksum_of
from dalr.errors import InputError
from dalr.files import atomic_write, digest_of, remove_leftovers, sha256_of, writable_folder, write_json
from dalr.progress import bar

Bounds = tuple[tuple[int, int], ...]
Tick = Callable[[int], None]


class Extraction(Protocol):
    """What fills a stored array. It can be pickled, and sent to another process."""

    @property
    def kind(self) -> str:
        """The array's kind, the first word of its folder's name."""

    @property
    def model(self) -> str:
        """The frozen model, as the config names it; for messages."""

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON values that decide the array's numbers, its key's preimage."""

    @property
    def bounds(self) -> Bounds:
        """The items (sentences, images) of each shard, as half-open ranges."""

    def compute(self, shard: int, tick: Tick) -> NDArray[np.float16]:
        """The rows of one shard, [n, width]; a function of the shard alone. Calls `tick` with the
        number of items done since the last call."""


@dataclass(frozen=True)
class Shard:
    """A finished shard: its number, its file in the array's folder, its rows, width and checksum."""

    number: int
    file: str
    rows: int
    width: int
    sha256: str


Runner = Callable[[Extraction, Path, Sequence[int], Tick], Iterator[Shard]]
"""Computes the missing shards of an array into its folder, yielding each when its file is there, in
any order: `run_here`, or one that sends `extract_shard` to other machines."""


def even_bounds(items: int, *, at_least: int, at_most: int = 64) -> Bounds:
    """Shards of equal size, `at_least` items each and `at_most` of them, so that a reader of a large
    array does not run out of file handles."""
    size = max(at_least, -(-items // at_most))
    return tuple((start, min(start + size, items)) for start in range(0, items, size))


class StoredArray:
    """A complete array of the store: float16 [rows, width], memory-mapped, picklable by its place."""

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        self.folder = folder
        self.shards = tuple(shards)
        self.starts = np.cumsum([0, *(shard.rows for shard in self.shards)])
        self._open: dict[int, NDArray[np.float16]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredArray, (self.folder, self.shards)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return len(self), self.shards[0].width

    @property
    def nbytes(self) -> int:
        """The size of the numbers in bytes."""
        return 2 * self.shape[0] * self.shape[1]

    def shard(self, number: int) -> NDArray[np.float16]:
        """One shard's rows, read-only, mapped at first use."""
        if number not in self._open:
            self._open[number] = np.load(self.folder / self.shards[number].file, mmap_mode="r", allow_pickle=False)
        return self._open[number]

    def rows(self, index: NDArray[np.int64]) -> NDArray[np.float16]:
        """A copy of the rows at `index` [n], in its order: float16 [n, width]."""
        out = np.empty((len(index), self.shape[1]), np.float16)
        number = np.searchsorted(self.starts, index, side="right") - 1
        for place in np.unique(number):
            mine = number == place
            out[mine] = self.shard(int(place))[index[mine] - self.starts[place]]
        return out


@dataclass(frozen=True)
class Prepared:
    """What became of one array: where it is, its size, how much of it was computed now."""

    what: str
    folder: Path
    rows: int
    width: int
    nbytes: int
    computed_shards: int
    shards: int
    seconds: float


def extract_shard(extraction: Extraction, folder: Path, number: int, tick: Tick) -> Shard:
    """Computes one shard and writes it into `folder`; the same bytes wherever it runs.

    Raises:
        InputError: a number that is not finite, or too large for float16.
    """
    with np.errstate(over="ignore"):  # told below, with a name
        array = extraction.compute(number, tick)
    if array.dtype != np.float16 or array.ndim != 2:
        raise TypeError(f"{extraction.kind}: a shard is float16 [rows, width], not {array.dtype} {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{extraction.kind} features of {extraction.model}: not finite in float16")
    file = f"shard-{number:05d}.npy"
    with atomic_write(folder / file) as aside, aside.open("wb") as handle:
        np.save(handle, np.ascontiguousarray(array), allow_pickle=False)
    return Shard(number, file, array.shape[0], array.shape[1], sha256_of(folder / file))


def run_here(extraction: Extraction, folder: Path, missing: Sequence[int], tick: Tick) -> Iterator[Shard]:
    """Computes the missing shards in this process, one after the other."""
    for number in missing:
        yield extract_shard(extraction, folder, number, tick)


def folder_of(store: Path, extraction: Extraction) -> Path:
    """Where an extraction's array lies in the store."""
    return store / f"{extraction.kind}-{digest_of(extraction.identity)}"


def find(store: Path, extraction: Extraction) -> StoredArray | None:
    """The array if it is complete and its checksums hold; None where it must be computed."""
    folder = folder_of(store, extraction)
    shards = finished_shards(folder, extraction)
    return StoredArray(folder, shards) if len(shards) == len(extraction.bounds) else None


def obtain(
    store: Path, extraction: Extraction, what: str, *, run: Runner = run_here, quiet: bool = False
) -> tuple[StoredArray, Prepared]:
    """The array from the store, after computing what is missing of it.

    A second process that asks at the same time waits for the first and then reads its shards. A shard
    whose checksum fails is computed again.

    Raises:
        InputError: the folder belongs to another extraction (names the differing keys); it cannot be
            written.
    """
    began = time.monotonic()
    folder = folder_of(store, extraction)
    done = {shard.number: shard for shard in finished_shards(folder, extraction)}
    if len(done) == len(extraction.bounds):  # complete: a store that can only be read will do
        return _prepared(StoredArray(folder, list(done.values())), what, 0, began)
    with locked(store, folder.name):
        done = {shard.number: shard for shard in finished_shards(folder, extraction)}
        missing = [number for number in range(len(extraction.bounds)) if number not in done]
        if missing:
            writable_folder(folder, "data.store")
            remove_leftovers(folder)
            for shard in _with_progress(extraction, folder, missing, what, run, quiet):
                done[shard.number] = shard
                _write_manifest(folder, extraction, done)
    array = StoredArray(folder, [done[number] for number in sorted(done)])
    return _prepared(array, what, len(missing), began)


def _prepared(array: StoredArray, what: str, computed: int, began: float) -> tuple[StoredArray, Prepared]:
    seconds = time.monotonic() - began
    return array, Prepared(what, array.folder, *array.shape, array.nbytes, computed, len(array.shards), seconds)


def _with_progress(
    extraction: Extraction, folder: Path, missing: Sequence[int], what: str, run: Runner, quiet: bool
) -> Iterator[Shard]:
    items = sum(stop - start for start, stop in extraction.bounds)
    here = sum(extraction.bounds[number][1] - extraction.bounds[number][0] for number in missing)
    began, done = time.monotonic(), 0
    with bar(quiet=quiet) as display:
        task = display.add_task(what, total=items, completed=items - here, note="")

        def tick(count: int) -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - began, 1e-6)
            display.update(task, advance=count, note=f"{rate:.0f}/s")

        yield from run(extraction, folder, missing, tick)


def finished_shards(folder: Path, extraction: Extraction) -> list[Shard]:
    """The shards that the manifest names and whose files have its checksums."""
    path = folder / "manifest.json"
    if not path.exists():
        return []
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        identity, bounds = manifest["identity"], manifest["bounds"]
        shards = [Shard(**shard) for shard in manifest["shards"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"data.store: {path} is not a manifest of the feature store; remove {folder}") from error
    refuse_other(folder, identity, extraction.identity)
    if [tuple(bound) for bound in bounds] != list(extraction.bounds):
        return []  # written by a version that cut its shards elsewhere
    return [shard for shard in shards if _holds(folder / shard.file, shard.sha256)]


def refuse_other(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises an InputError with the differing keys where a folder holds something else than wanted."""
    differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if differing:
        details = "; ".join(f"{name}: {found.get(name)!r}, not {wanted.get(name)!r}" for name in differing)
        raise InputError(f"data.store: {folder} holds other features than asked for; they differ in {details}")


def _holds(file: Path, sha256: str) -> bool:
    return file.is_file() and checksum_of(file) == sha256


def _write_manifest(folder: Path, extraction: Extraction, done: Mapping[int, Shard]) -> None:
    write_json(
        folder / "manifest.json",
        {
            "kind": extraction.kind,
            "identity": extraction.identity,
            "dtype": "float16",
            "items": extraction.bounds[-1][1],
            "rows": sum(shard.rows for shard in done.values()),
            "complete": len(done) == len(extraction.bounds),
            "bounds": extraction.bounds,
            "shards": [vars(done[number]) for number in sorted(done)],
        },
    )


@contextmanager
def locked(store: Path, name: str) -> Iterator[None]:
    """Holds the lock `<store>/.locks/<name>` against other processes; released when one dies."""
    folder = writable_folder(store / ".locks", "data.store")
    with files.locked(folder / name, seconds=math.inf, what=f"the feature store {store}"):
        yield
