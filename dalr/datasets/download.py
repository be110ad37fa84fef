"""Downloads one file: resumed where it was cut, repeated where the network fails, held against its
length and checksum.

huggingface_hub's own download is not used, also for files of the Hub (`dalr.datasets.fetch` takes address and token
from it): it removes what has arrived when a call fails, so that the next one starts over, it compares the length
alone, and it takes nothing from a plain web server, which a mirror is.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests

from dalr.data.manifest import Origin
from dalr.files import sha256_of, write_json
from dalr.progress import transfer_bar

TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and between two blocks."""

_BLOCK = 1 << 13
"""Bytes; a cut connection loses the block that it cuts."""

_WORTH_REPEATING = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchError(OSError):
    """A download or an archive that failed; one line that says what, where, and what to do. Not bad
    input: the command line exits with 1."""


class _Cut(Exception):
    """This attempt ended early; another may go on from what is there."""


@dataclass(frozen=True)
class _Answer:
    """What a server says of a file: its size in bytes, the validator of this version of it (an ETag or
    a date), and its sha256 where the server publishes one."""

    size: int | None
    validator: str | None
    sha256: str | None


def download(
    url: str,
    target: Path,
    *,
    headers: Mapping[str, str] | None = None,
    sha256: str | None = None,
    first_use: str | None = None,
    attempts: int = 5,
    wait: float = 1.0,
    quiet: bool = False,
) -> Origin:
    """Downloads `url` to `target` and says what came. `headers` are sent along; a token in them goes to no other
    host that the server redirects to.

    What has arrived stays in `<target>.part`; a later call goes on from there if the server still has
    the same version (by ETag or date) and can send ranges, and starts over otherwise. Failed attempts
    are repeated `attempts` times in a row without a new byte, after `wait` seconds, doubled each time.

    The bytes must hash to `sha256` if given; else to what the server publishes (the Hub names the
    sha256 of its large files); else to `first_use`, the hash of an earlier fetch, if there was one.

    Raises:
        FetchError: no such file, no connection, or other bytes than expected; `target` is untouched.
    """
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    failures, answer = 0, None
    while answer is None:
        before = _size(part)
        try:
            answer = _attempt(url, part, headers or {}, quiet=quiet)
        except (_Cut, requests.RequestException) as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= attempts:
                kept = f"; {_size(part)} bytes are kept in {part}, the same command goes on" if _size(part) else ""
                raise FetchError(f"{url}: {_reason(error)}{kept}") from error
            time.sleep(wait * 2 ** (failures - 1))
    digest = sha256_of(part)
    kind, expected = _expected(sha256, answer.sha256, first_use)
    if expected is not None and digest != expected:
        _forget(part)
        raise FetchError(
            f"{url}: sha256 {digest} differs from the {kind} one, {expected}; nothing is kept. "
            "Try again; if it stays, the file at this address was changed"
        )
    source = Origin(url=url, bytes=_size(part), sha256=digest, verified=kind)
    part.replace(target)
    _forget(part)
    return source


def _expected(pinned: str | None, published: str | None, first_use: str | None) -> tuple[str, str | None]:
    if pinned is not None:
        return "pinned", pinned
    if published is not None:
        return "published", published
    return "first use", first_use


def _attempt(url: str, part: Path, given: Mapping[str, str], *, quiet: bool) -> _Answer:
    """Asks for the rest of the file and appends it to `part`; returns when all of it is there."""
    offset, validator = _size(part), _validator_of(part, url)
    headers = {**given, "Accept-Encoding": "identity"}  # a range counts bytes of the file, not of its compression
    if offset and validator:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:
            if offset and response.headers.get("Content-Range") == f"bytes */{offset}":
                return _Answer(offset, validator, _published_sha256(response))  # all of it was there already
            _forget(part)  # longer than the file: of another version
            raise _Cut("the server has no such range")
        if response.status_code in _WORTH_REPEATING:
            raise _Cut(f"the server answers {response.status_code} {response.reason}")
        if not response.ok:
            raise FetchError(
                f"{url}: the server answers {response.status_code} {response.reason}; "
                "the file may have moved: check the address, or use --mirror"
            )
        resumed = response.status_code == 206 and _first_byte(response.headers) == offset
        if response.status_code == 206 and not resumed:
            _forget(part)
            raise _Cut("the server sent another range than asked for")
        answer = _answer(response, offset if resumed else 0)
        write_json(_state(part), {"url": url, "validator": answer.validator})
        with part.open("ab" if resumed else "wb") as file:
            _receive(response, file, answer, offset if resumed else 0, quiet=quiet)
    if answer.size is not None and _size(part) < answer.size:
        raise _Cut(f"the connection ended after {_size(part)} of {answer.size} bytes")
    return answer


def _receive(response: requests.Response, file: BinaryIO, answer: _Answer, offset: int, *, quiet: bool) -> None:
    with transfer_bar(quiet=quiet) as display:
        name = Path(response.url.split("?")[0]).name
        task = display.add_task(name, total=answer.size, completed=offset)
        for block in response.iter_content(_BLOCK):
            file.write(block)
            display.advance(task, len(block))


def _answer(response: requests.Response, offset: int) -> _Answer:
    length = response.headers.get("Content-Length")
    etag = response.headers.get("ETag", "")
    # If-Range takes strong validators only.
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
    return _Answer(offset + int(length) if length else None, validator, _published_sha256(response))


def _published_sha256(response: requests.Response) -> str | None:
    """The sha256 that the Hugging Face Hub names for large files, in the header of its redirect."""
    for step in (*response.history, response):
        named = step.headers.get("X-Linked-Etag", "").strip('"').lower()
        if len(named) == 64 and set(named) <= set("0123456789abcdef"):
            return named
    return None


def _first_byte(headers: Mapping[str, str]) -> int | None:
    """Of `Content-Range: bytes 100-199/200`, the 100."""
    unit, _, rest = headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else None


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "the server does not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection is cut again and again"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    return str(error)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _state(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _validator_of(part: Path, url: str) -> str | None:
    """The validator under which `part` was begun from this address."""
    try:
        state = json.loads(_state(part).read_text(encoding="utf-8"))
        return state["validator"] if state["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no readable state: the download starts over


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state(part).unlink(missing_ok=True)
