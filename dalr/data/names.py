"""Which file, row or record a name means: the one place where names of two sources are matched."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dalr.errors import InputError

PICTURE_ENDINGS = frozenset(".avif .bmp .gif .heic .jp2 .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split())


def match_names(
    wanted: Sequence[str],
    available: Sequence[str],
    *,
    lacks: str,
    equal: Callable[[int, int], bool] = lambda row, other: False,
    loosely: bool = True,
) -> NDArray[np.int64]:
    """The row in `available` of each wanted name: int64 [n].

    The whole relative name is tried first; where no row has it, the name with folders that only one side
    writes (`train/1.jpg` and `1.jpg`); then that without regard to a picture's ending (`1` and
    `train/1.jpg`). Folders that both sides write must be the same. A looser match counts only where it is
    the only one for the wanted name, and no other wanted name gets the same row.

    Args:
        lacks: the beginning of the message where rows are missing, with a `%d` for their number and one
            for the number of wanted names.
        equal: whether two rows that have one name are equal, so that either will do.
        loosely: whether looser matches count; names that are no paths have none.

    Raises:
        InputError: a name without a row (the first three, and how many), a name that matches several rows,
            or several names that match one row; the message names both.
    """
    where = lacks.split(" lacks ")[0]
    levels = _Levels(available, where, equal)
    rows = {name: levels.row_of(name) if loosely else levels.whole.get(name) for name in wanted}
    names_of: dict[int, str] = {}
    for name, row in rows.items():
        other = names_of.setdefault(row, name) if row is not None else name
        if other != name:
            raise InputError(f"{where}: both {other!r} and {name!r} match {available[row or 0]!r}; write whole names")
    missing = [name for name, row in rows.items() if row is None]
    if missing:
        count = sum(rows[name] is None for name in wanted)
        near = next((near for name in missing for near in levels.near(name)), None) if loosely else None
        hint = f" (there is {near}, in another folder)" if near else ""
        raise InputError(f"{lacks % (count, len(wanted))}, the first: {', '.join(missing[:3])}{hint}")
    return np.asarray([rows[name] for name in wanted], np.int64)


def _without_ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending}".lower() in PICTURE_ENDINGS and stem and not stem.endswith("/") else name


def _tails(name: str) -> Iterable[str]:
    """`a/b/c`, `b/c`, `c`; nothing shorter of a name that leads out of its folder."""
    parts = name.split("/")
    if ".." in parts:
        return (name,)
    return filter(None, ("/".join(parts[place:]) for place in range(len(parts))))


class _Levels:
    """The rows under their names, whole, by their tails, and both without a picture's ending."""

    def __init__(self, available: Sequence[str], where: str, equal: Callable[[int, int], bool]) -> None:
        self.available = available
        self.where = where
        self.whole: dict[str, int] = {}
        for row, name in enumerate(available):
            other = self.whole.setdefault(name, row)
            if other != row and not equal(other, row):
                raise InputError(f"{where}: {name!r} is the name of row {other} and of row {row}, which differ")

    def row_of(self, name: str) -> int | None:
        """The row that a name means; None where there is none."""
        if name in self.whole:
            return self.whole[name]
        stem = _without_ending(name)
        for rows in (
            {*self.tails.get(name, ()), *(self.whole[tail] for tail in _tails(name) if tail in self.whole)},
            {*self.stem_tails.get(stem, ()), *(row for tail in _tails(stem) for row in self.stems.get(tail, ()))},
        ):
            if len(rows) > 1:
                first, second = sorted(self.available[row] for row in rows)[:2]
                raise InputError(f"{self.where}: {name!r} matches both {first!r} and {second!r}; write whole names")
            if rows:
                return rows.pop()
        return None

    def near(self, name: str) -> list[str]:
        """The names that differ from `name` in their folders alone."""
        last = _without_ending(name).rpartition("/")[2]
        return [self.available[row] for row in self.stem_tails.get(last, ())]

    # Made at the first name that is not there as it is written.

    @cached_property
    def tails(self) -> dict[str, list[int]]:
        return _grouped((tail, row) for name, row in self.whole.items() for tail in _tails(name))

    @cached_property
    def stems(self) -> dict[str, list[int]]:
        return _grouped((_without_ending(name), row) for name, row in self.whole.items())

    @cached_property
    def stem_tails(self) -> dict[str, list[int]]:
        return _grouped((tail, row) for name, row in self.whole.items() for tail in _tails(_without_ending(name)))


def _grouped(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for name, row in pairs:
        groups[name].append(row)
    return groups
