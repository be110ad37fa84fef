"""Arrays addressed by row, wherever their numbers lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Rows(Protocol):
    """An array [n, width] of floats that is read by row."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """A copy of the rows at `index`, in its order."""


class MappedRows:
    """A `.npy` array, memory-mapped, picklable by its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.array = np.load(path, mmap_mode="r", allow_pickle=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedRows, (self.path,)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self.array.shape[0], self.array.shape[1]

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """See `Rows`."""
        return self.array[index]


@dataclass(frozen=True)
class IndexedRows:
    """Features in another order than their array has: row i of this is row `index[i]` of `source`."""

    source: Rows
    index: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return len(self.index), self.source.shape[1]

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """See `Rows`."""
        return self.source.rows(self.index[index])


def first_unusable(rows: NDArray[np.floating[Any]]) -> tuple[int, str] | None:
    """The first row [n, width] that has no direction, and what it is: not finite, or zero as a file holds it for what
    was never extracted. None where every row has one."""
    finite = np.isfinite(rows).all(1)
    usable = finite & rows.any(1)
    if usable.all():
        return None
    row = int(np.argmin(usable))
    return row, "is all zero, which is no feature of anything" if finite[row] else f"is not finite in {rows.dtype}"
