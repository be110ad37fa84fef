"""Writing files so that a reader sees the old or the new one, never half of one; and hashing them."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dalr.errors import InputError


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling of `path`, a file or a folder to be created by the caller; renames
    it to `path` when the block ends, and removes it when the block raises.

    A file replaces an existing file atomically. A folder replaces an existing folder by two renames.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        if aside.is_dir() and path.exists():
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
            path.rename(old)
            aside.rename(path)
            shutil.rmtree(old)
        else:
            aside.replace(path)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON value atomically, indented, with a final newline. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """The hex sha256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def existing_file(path: str | Path, what: str) -> Path:
    """`path` as a Path if it is a file that is not empty; otherwise an InputError that says `what`."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{what}: no such file: {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{what}: the file is empty: {path}")
    return path


def writable_folder(path: str | Path, what: str) -> Path:
    """Creates `path` with its parents and checks that a file can be written there."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-test-{uuid.uuid4().hex[:8]}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{what}: cannot write to {path}: {error.strerror or error}") from error
    return path
