"""Tables of the user's own tasks: columns found by their names in the header, whatever stands between them."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from dalr.errors import InputError

DELIMITERS = ("\t", ",", ";")


def named_columns(lines: Sequence[str], wanted: Sequence[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line's number and the `wanted` columns of each row, in that order.

    Tabs separate columns without any quoting; commas and semicolons as spreadsheets write them, where a
    quoted field may hold separators, doubled quotes and line ends. The header decides which it is.

    Raises:
        InputError: a wanted column that the header has not, a row of another width, or a quote that is
            never closed; the message names the line.
    """
    headers = {delimiter: next(_rows(lines[:1], delimiter, path))[1] for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda delimiter: len(set(wanted) & set(headers[delimiter])))
    header = headers[delimiter]
    for name in wanted:
        if header.count(name) != 1:
            what = "no column" if name not in header else "two columns"
            raise InputError(f"{path}:1: {what} {name!r} in the header; it has: {', '.join(header)}")
    places = [header.index(name) for name in wanted]
    rows = _rows(lines, delimiter, path)
    next(rows)
    for number, fields in rows:
        if len(fields) != len(header):
            raise InputError(f"{path}:{number}: {len(fields)} columns, expected {len(header)} as in the header")
        yield number, [fields[place] for place in places]


def _rows(lines: Sequence[str], delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Every row with the number of the line in which it begins."""
    if delimiter == "\t":
        yield from ((number, line.split("\t")) for number, line in enumerate(lines, 1))
        return
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
    number = 1
    try:
        for fields in reader:
            yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}:{number}: not CSV: {error}; a quote is doubled inside a quoted field") from None
