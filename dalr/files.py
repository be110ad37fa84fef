"""Writing files so that a reader sees the old or the new one, never half of one; and hashing them."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dalr.errors import Failed, InputError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling of `path`, a file or a folder to be created by the caller; renames
    it to `path` when the block ends, and removes it when the block raises.

    A file replaces an existing file atomically. A folder replaces an existing folder by two renames; where a
    process is killed between them, `remove_leftovers` puts the old folder back.

    Raises:
        OSError: the system could not write, with `path` in it, whichever library met the error.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with system_errors_named(path):
            yield aside
        if aside.is_dir() and path.exists():
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
            path.rename(old)
            try:
                aside.rename(path)
            except OSError:
                old.rename(path)
                raise
            shutil.rmtree(old)
        else:
            aside.replace(path)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Removes a folder: it is there whole or, for everybody who looks by its name, not at all."""
    doomed = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    folder.rename(doomed)
    shutil.rmtree(doomed)


_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<kind>tmp|old)")


def remove_leftovers(folder: Path, of: str | None = None) -> None:
    """Clears up what processes left in `folder` that were killed while they wrote `of` (a name; None: any).
    A folder that was moved away for its successor, which never took its place, comes back; the rest goes.
    The caller sees to it that nobody else is writing there."""
    for leftover in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _LEFTOVER.fullmatch(leftover.name)
        if match is None or of not in (None, match["name"]):
            continue
        if match["kind"] == "old" and not (folder / match["name"]).exists():
            leftover.rename(folder / match["name"])
        elif leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


@contextmanager
def system_errors_named(path: Path) -> Iterator[None]:
    """Inside the block, an error of the system while writing `path` becomes an OSError that names it.

    A write to an open file fails without a name, and torch and safetensors wrap the system's error in
    one of their own.
    """
    try:
        yield
    except (InputError, Failed):
        raise
    except Exception as error:
        number = _system_error(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _system_error(error: BaseException | None) -> int | None:
    """The number of the system's error behind an exception; None where there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        told = re.search(r"\(os error (\d+)\)", str(error))  # safetensors, in Rust's words
        if told:
            return int(told.group(1))
        error = error.__cause__ or error.__context__
    return None


class Locked(Failed):
    """Another process, `holder`, holds a lock."""

    def __init__(self, what: str, holder: str) -> None:
        super().__init__(f"another process ({holder}) is at work on {what}; end it, or wait for its end")
        self.what = what
        self.holder = holder

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Both arguments travel when the exception crosses processes."""
        return type(self), (self.what, self.holder)


@contextmanager
def locked(path: Path, *, seconds: float, what: str) -> Iterator[None]:
    """Holds the lock file `path` against other processes, on any machine that sees it. The kernel frees
    it when its holder dies. On a file system without locks the block runs all the same.

    Raises:
        Locked: another process holds it for `seconds`; the message says `what` is in its hands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    file.seek(0)
                    raise Locked(what, file.read(200).strip() or "unknown") from None
                time.sleep(0.2)
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                    raise
                break
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON value atomically, indented, with a final newline. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def digest_of(values: Mapping[str, Any]) -> str:
    """16 hex digits that change with every one of some plain values, whatever their order."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """The hex sha256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_and_hash(path: Path) -> str:
    """Brings a written file to the disk itself, so that it outlives a loss of power; its hex sha256."""
    with Path(path).open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def existing_file(path: str | Path, what: str) -> Path:
    """`path` as a Path if it is a file that is not empty; otherwise an InputError that says `what`."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{what}: {path} is a folder, expected a file")
    if not path.is_file():
        raise InputError(f"{what}: no such file: {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{what}: the file is empty: {path}")
    return path


def lines_of(text: str) -> list[str]:
    """The lines of a text: ended by LF, CR LF or CR, and by nothing else (form feeds, U+0085 and U+2028
    occur inside sentences of real corpora). A line end at the end of the text begins no further line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def decode_utf8(data: bytes, where: str) -> str:
    """UTF-8 text without a byte-order mark.

    Raises:
        InputError: UTF-16, binary data, a pointer of git-lfs, or not UTF-8; names the line.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise InputError(f"{where}: binary data or UTF-16, not text; expected UTF-8")
    if data.startswith(b"version https://git-lfs"):
        raise InputError(f"{where}: a pointer of git-lfs, not the file itself; run `git lfs pull`")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(lines_of(error.object[: error.start].decode("utf-8") + "x"))
        raise InputError(f"{where}, line {line}: not UTF-8; convert the file to UTF-8") from error


def read_utf8(path: str | Path, what: str) -> str:
    """A file's text without a byte-order mark.

    Raises:
        InputError: no such file, empty, or not UTF-8 text; the message names the line.
    """
    path = existing_file(path, what)
    return decode_utf8(path.read_bytes(), f"{what}: {path}")


def uri_of(path: str | os.PathLike[str]) -> str | None:
    """The URI that `path` is, also where it has become a Path, which joins slashes; None for a path."""
    match = re.match(r"([a-z][a-z0-9+.-]+):/+(.*)", os.fspath(path))
    return f"{match.group(1)}://{match.group(2)}" if match else None


def refuse_folder(path: str | Path | None, what: str) -> None:
    """Raises an InputError where a file is to be written and a folder lies there."""
    if path is not None and Path(path).is_dir():
        raise InputError(f"{what}: {path} is a folder, expected the name of a file")


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
