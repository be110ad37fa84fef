"""Reading what a user gave: text in lines, JSON, and files that a library reads. Every fault is one line."""

import errno
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from dalr.errors import Failed, InputError
from dalr.files import lines_of, read_utf8

SAMPLE = 50
"""Lines that decide whether a file has a structure."""

MACHINE_FAULTS = frozenset({errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.ESTALE})
"""Errors of the machine, which say nothing about the file."""


@contextmanager
def reading(path: str | Path, what: str, kind: str) -> Iterator[None]:
    """Inside the block, whatever a library raises about the content of `path` becomes an InputError:
    `WHAT: PATH is not KIND: REASON`. A fault of the machine (a disk, too many open files) stays what it is.
    """
    try:
        yield
    except (InputError, Failed):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in MACHINE_FAULTS:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{what}: {path} is not {kind}: {reason}") from error


def parse_json(text: str) -> Any:
    """A JSON value that can be written again.

    Raises:
        ValueError: not JSON (`json.JSONDecodeError`), nested too deep, or text with half of a surrogate pair.
    """
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeEncodeError:
        raise ValueError("it has text with half of a surrogate pair") from None
    return value


def read_json(path: str | Path, what: str) -> Any:
    """A JSON file's value; malformed JSON is an InputError that names the line."""
    text = read_utf8(Path(path), what)
    with reading(path, what, "readable JSON"):
        try:
            return parse_json(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{what}: {path}, line {error.lineno}: not valid JSON: {error.msg}") from error


def read_plain_lines(path: str | Path, what: str, row: str) -> list[str]:
    """The lines of a file that has one `row` (a sentence, an id) a line.

    Raises:
        InputError: see `read_utf8`; or the file has a structure (CSV, TSV, JSON, HTML), which says what was
            seen.
    """
    lines = lines_of(read_utf8(Path(path), what))
    refuse_structure(lines, f"{what}: {path}", row, ending=Path(path).suffix)
    return lines


def refuse_structure(lines: Sequence[str], where: str, row: str, ending: str = "") -> None:
    """Raises an InputError where lines that should each be one `row` are a table, JSON or a page."""
    seen = _ENDINGS.get(ending.lower()) or structure_of(lines)
    if seen:
        raise InputError(f"{where}: seen: {seen}; expected plain text, one {row} a line")


_ENDINGS = {
    ending: f"the ending {ending}"
    for ending in ".csv .tsv .json .jsonl .html .htm .xml .yaml .yml .parquet .npy .npz .h5 .hdf5 .gz .zip".split()
}
_PAGE = re.compile(r"<(!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
_JSON_BEGINS = re.compile(r"""\{\s*("|\}|$)|\[\s*(\{|\[|$)""")
_COLUMN = re.compile(r'"?[A-Za-z_][A-Za-z0-9_]*"?')
_ONE_COLUMN = frozenset("sentence sentences text texts caption captions sentence1 sent0".split())
_ROWS = {
    "a table whose rows begin with a picture's name": re.compile(
        r"[^\s,;|]+\.(jpe?g|png|gif|bmp|webp|tiff?)(#\d+)?\s*[,;|\t]", re.IGNORECASE
    ),
    "a table whose rows begin with a number": re.compile(r"\d+[,;|\t]\S"),
    "a table of quoted columns": re.compile(r'"([^"]|"")*"[,;|\t]'),
}


def structure_of(lines: Sequence[str]) -> str | None:
    """What structure the first lines have that are not empty, in words; None for prose."""
    sample = list(islice((line.strip() for line in lines if line.strip()), SAMPLE))
    if not sample:
        return None
    first = sample[0]
    if _PAGE.match(first):
        return "an HTML or XML page"
    if _JSON_BEGINS.match(first) or all(_is_json(line) for line in sample):
        return "JSON"
    header = _header_of(first)
    if header or (len(sample) > 1 and first.strip('"').lower() in _ONE_COLUMN):
        return f"a table with the header {first[:80]!r}"
    for seen, pattern in _ROWS.items():
        if all(pattern.match(line) for line in sample):
            return seen
    tabs = {line.count("\t") for line in sample}
    return f"a table of {tabs.pop() + 1} columns between tabs" if len(tabs) == 1 and tabs != {0} else None


def _header_of(line: str) -> list[str]:
    """The names of a table's columns, where the line has two or more; prose has a space after a comma."""
    for delimiter in ",\t;|":
        columns = line.split(delimiter)
        if delimiter in "\t|":
            columns = [column.strip() for column in columns]
        if len(columns) > 1 and all(_COLUMN.fullmatch(column) for column in columns):
            return columns
    return []


def _is_json(line: str) -> bool:
    try:
        return line[0] in "[{" and isinstance(parse_json(line), dict | list)
    except ValueError:
        return False
