"""Checksums: right after every change, read once, shared by processes."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dalr import checksums
from dalr.checksums import checksum_of, checksums_of
from dalr.files import sha256_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and a memory that knows nothing."""
    monkeypatch.setenv("DALR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checksums, "_known", {})
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read through."""
    names: list[str] = []

    def noted(path: Path) -> str:
        names.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(checksums, "sha256_of", noted)
    return names


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if another process asked."""
    monkeypatch.setattr(checksums, "_known", {})


def settled(path: Path, content: bytes, age: float = 60.0) -> Path:
    """A file that was last changed `age` seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    then = time.time_ns() - int(age * 1e9)
    os.utime(path, ns=(then, then))
    return path


def test_a_file_is_read_once_by_all_processes(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [settled(tmp_path / "data" / f"{n}.bin", bytes([n]) * 1000) for n in range(5)]
    first = checksums_of(files)
    assert first == [sha256_of(file) for file in files]
    assert sorted(reads) == [file.name for file in files]
    assert checksums_of(files[::-1]) == first[::-1]
    forget(monkeypatch)
    assert checksums_of(files) == first
    assert len(reads) == 5


@pytest.mark.parametrize("change", ["size", "time", "both just now"])
def test_a_changed_file_is_read_again(
    change: str, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settled(tmp_path / "a.bin", b"old")
    before = checksum_of(file)
    if change == "size":
        settled(file, b"older")
    elif change == "time":
        settled(file, b"new", age=30.0)
    else:
        file.write_bytes(b"new")
    forget(monkeypatch)
    assert checksum_of(file) != before
    assert reads == ["a.bin", "a.bin"]


def test_a_file_that_may_still_change_unseen_is_not_remembered(tmp_path: Path, reads: list[str]) -> None:
    file = settled(tmp_path / "a.bin", b"one", age=0.0)
    then = file.stat().st_mtime_ns
    before = checksum_of(file)
    file.write_bytes(b"two")
    os.utime(file, ns=(then, then))  # as where a file system's clock is coarse
    assert checksum_of(file) != before


@pytest.mark.parametrize("damage", ["", "[]", '{"files": {"a.bin": [1]}}', '{"files": []}'])
def test_a_damaged_cache_knows_nothing_and_is_mended(
    damage: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settled(tmp_path / "data" / "a.bin", b"x")
    expected = checksum_of(file)
    (kept,) = (cache / "checksums").iterdir()
    kept.write_text(damage)
    forget(monkeypatch)
    assert checksum_of(file) == expected
    assert json.loads(kept.read_text())["files"]["a.bin"][2] == expected


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file stands where the folder would")
    file = settled(tmp_path / "a.bin", b"x")
    assert checksum_of(file) == sha256_of(file)


def test_writers_at_once_leave_a_whole_cache(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [settled(tmp_path / "data" / f"{n}.bin", bytes([n])) for n in range(24)]
    with ThreadPoolExecutor(8) as workers:
        sums = list(workers.map(checksum_of, files))
    assert sums == [sha256_of(file) for file in files]
    (kept,) = (cache / "checksums").iterdir()
    entries = json.loads(kept.read_text())["files"]
    assert entries
    assert all(entries[name][2] == sha256_of(tmp_path / "data" / name) for name in entries)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        checksum_of(tmp_path / "nowhere")
