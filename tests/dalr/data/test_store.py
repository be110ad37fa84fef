"""The store computes each shard once, keeps what is whole, and refuses what is another's."""

import json
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dalr.data.store import Extraction, Shard, Tick, extract_shard, find, folder_of, obtain, run_here
from dalr.errors import InputError


@dataclass(frozen=True)
class Counting:
    """Row i holds i and its square; every computed shard is noted in a file."""

    log: Path
    seed: int = 0
    kind: str = "counting"
    model: str = "counting"
    value: float | None = None

    @property
    def identity(self) -> dict[str, object]:
        return {"model": "counting", "seed": self.seed}

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        return ((0, 4), (4, 8), (8, 10))

    def compute(self, shard: int, tick: Tick) -> np.ndarray:
        with self.log.open("a") as log:
            log.write(f"{shard}\n")
        rows = np.arange(*self.bounds[shard])
        tick(len(rows))
        out = np.stack([rows, rows**2], 1).astype(np.float16)
        return out if self.value is None else np.full(out.shape, self.value).astype(np.float16)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def computed(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def test_computed_once_and_read_by_row(tmp_path: Path) -> None:
    extraction = Counting(tmp_path / "log")
    assert find(tmp_path / "store", extraction) is None
    array, prepared = obtain(tmp_path / "store", extraction, "x", quiet=True)
    assert (prepared.computed_shards, prepared.shards, array.shape, len(array)) == (3, 3, (10, 2), 10)
    index = np.asarray([9, 0, 4, 3, 9])
    assert array.rows(index).tolist() == [[i, i * i] for i in index]
    again, prepared = obtain(tmp_path / "store", extraction, "x", quiet=True)
    assert prepared.computed_shards == 0
    assert (again.rows(index) == array.rows(index)).all()
    assert computed(tmp_path / "log") == [0, 1, 2]
    manifest = json.loads((array.folder / "manifest.json").read_text())
    assert manifest["complete"]
    assert (manifest["rows"], manifest["dtype"], manifest["identity"]) == (10, "float16", extraction.identity)


def test_an_interrupted_extraction_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def killed(extraction: Extraction, folder: Path, missing: Sequence[int], tick: Tick) -> Iterator[Shard]:
        yield extract_shard(extraction, folder, missing[1], tick)
        (folder / ".shard-00002.npy.0123abcd.tmp").write_bytes(b"half")
        (folder / "shard-00002.npy").write_bytes(b"renamed, but not in the manifest")
        raise KeyboardInterrupt

    extraction = Counting(tmp_path / "log")
    with pytest.raises(KeyboardInterrupt):
        obtain(tmp_path / "a", extraction, "x", run=killed, quiet=True)
    _, prepared = obtain(tmp_path / "a", extraction, "x", quiet=True)
    assert prepared.computed_shards == 2
    obtain(tmp_path / "b", extraction, "x", quiet=True)
    assert contents(folder_of(tmp_path / "a", extraction)) == contents(folder_of(tmp_path / "b", extraction))


def test_a_damaged_shard_is_computed_again(tmp_path: Path) -> None:
    extraction = Counting(tmp_path / "log")
    array, _ = obtain(tmp_path / "store", extraction, "x", quiet=True)
    before = contents(array.folder)
    damaged = array.folder / "shard-00001.npy"
    damaged.write_bytes(before[damaged.name][:-1] + b"\x7f")
    _, prepared = obtain(tmp_path / "store", extraction, "x", quiet=True)
    assert prepared.computed_shards == 1
    assert contents(array.folder) == before
    (array.folder / "shard-00002.npy").unlink()
    assert obtain(tmp_path / "store", extraction, "x", quiet=True)[1].computed_shards == 1
    assert contents(array.folder) == before


def test_another_extractions_folder_is_refused_with_the_keys(tmp_path: Path) -> None:
    array, _ = obtain(tmp_path, Counting(tmp_path / "log"), "x", quiet=True)
    other = Counting(tmp_path / "log", seed=1)
    shutil.copytree(array.folder, folder_of(tmp_path, other))
    with pytest.raises(InputError, match=r"they differ in seed: 0, not 1"):
        obtain(tmp_path, other, "x", quiet=True)
    (array.folder / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="not a manifest"):
        find(tmp_path, Counting(tmp_path / "log"))


def test_numbers_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    extraction = Counting(tmp_path / "log", value=1e6)
    with pytest.raises(InputError, match="not finite in float16"):
        obtain(tmp_path, extraction, "x", quiet=True)
    assert not list(folder_of(tmp_path, extraction).iterdir())


def test_a_complete_store_may_be_read_only(tmp_path: Path) -> None:
    extraction = Counting(tmp_path / "log")
    array, _ = obtain(tmp_path / "store", extraction, "x", quiet=True)
    shutil.rmtree(tmp_path / "store" / ".locks")
    (tmp_path / "store" / ".locks").write_text("no folder can be made here")
    assert obtain(tmp_path / "store", extraction, "x", quiet=True)[0].shards == array.shards


def _ask(store: Path, log: Path, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    obtain(store, Counting(log), "x", run=run_here, quiet=True)


def test_processes_that_ask_at_once_compute_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(3)
    asking = [context.Process(target=_ask, args=(tmp_path / "s", tmp_path / "log", start)) for _ in range(3)]
    for process in asking:
        process.start()
    for process in asking:
        process.join(60)
    assert [process.exitcode for process in asking] == [0, 0, 0]
    assert computed(tmp_path / "log") == [0, 1, 2]
