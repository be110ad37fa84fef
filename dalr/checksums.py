"""The sha256 of files, remembered by path, size and modification time: a large file is read once, not at
every start.

What is known lies in `<cache>/checksums/`, one JSON file for each folder whose files were hashed; the
cache is the folder `DALR_CACHE`, or `~/.cache/dalr`. Any number of processes, on any number of machines,
may use it at once: a file is written aside and renamed, and what one of two writers overwrites is only
computed again. It may be removed at any time.
"""

import hashlib
import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dalr.files import sha256_of, write_text

SETTLED_NS = 2_000_000_000
"""A file that changed less than this long ago may change again without another modification time (clocks
of file systems are coarse), so nothing is remembered of it."""

Known = tuple[int, int, str]
"""A file's size in bytes, its modification time in ns, and its sha256."""

_known: dict[Path, dict[str, Known]] = {}
_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where dalr keeps files of its own: DALR_CACHE, else ~/.cache/dalr."""
    return Path(os.environ.get("DALR_CACHE") or Path.home() / ".cache" / "dalr")


def checksum_of(path: str | Path) -> str:
    """The hex sha256 of a file's bytes, from the cache where its size and modification time are known.

    Raises:
        OSError: the file cannot be read.
    """
    return checksums_of([path])[0]


def checksums_of(paths: Sequence[str | Path]) -> list[str]:
    """The hex sha256 of each file, in the order given; see `checksum_of`. Unknown files are read in parallel."""
    files = [Path(path).absolute() for path in paths]
    states = [(status.st_size, status.st_mtime_ns) for status in map(Path.stat, files)]
    unknown = [place for place, file in enumerate(files) if _lookup(file, states[place]) is None]
    for folder in {files[place].parent for place in unknown}:
        _read(folder)
    sums = [_lookup(file, state) for file, state in zip(files, states, strict=True)]
    unknown = [place for place, checksum in enumerate(sums) if checksum is None]
    fresh: dict[Path, dict[str, Known]] = defaultdict(dict)
    # hashlib works without the interpreter's lock.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as readers:
        for place, checksum in zip(unknown, readers.map(sha256_of, (files[place] for place in unknown)), strict=True):
            sums[place] = checksum
            file, state = files[place], states[place]
            after = file.stat()
            unchanged = (after.st_size, after.st_mtime_ns) == state
            if unchanged and time.time_ns() - state[1] > SETTLED_NS:
                fresh[file.parent][file.name] = (*state, checksum)
    for folder, entries in fresh.items():
        _remember(folder, entries)
    return [checksum for checksum in sums if checksum is not None]


def _lookup(file: Path, state: tuple[int, int]) -> str | None:
    known = _known.get(file.parent, {}).get(file.name)
    return known[2] if known is not None and known[:2] == state else None


def _place(folder: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]
    return cache_folder() / "checksums" / f"{digest}.json"


def _read(folder: Path) -> None:
    """Brings what the cache knows of a folder's files into memory. A cache that cannot be read knows nothing."""
    try:
        values = json.loads(_place(folder).read_text(encoding="utf-8"))
        entries = {name: (int(size), int(time_ns), str(sha)) for name, (size, time_ns, sha) in values["files"].items()}
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _log.debug("%s: not read: %s", _place(folder), error)
        return
    _known[folder] = {**_known.get(folder, {}), **entries}


def _remember(folder: Path, entries: Mapping[str, Known]) -> None:
    """Adds to the cache what was hashed now, keeping what others have added meanwhile."""
    _read(folder)
    _known[folder] = {**_known.get(folder, {}), **entries}
    try:
        write_text(_place(folder), json.dumps({"folder": str(folder), "files": _known[folder]}))
    except (OSError, UnicodeEncodeError) as error:  # a home that is read-only, a full disk: it is hashed again
        _log.debug("%s: not written: %s", _place(folder), error)
