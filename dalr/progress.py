"""Progress bars on a terminal, silence elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Item = TypeVar("Item")


def bar(*, quiet: bool = False) -> Progress:
    """A progress display on stderr, shown only where stderr is a terminal and `quiet` is false."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
    )


def transfer_bar(*, quiet: bool = False) -> Progress:
    """A progress display that counts bytes, otherwise like `bar`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
    )


def track(items: Iterable[Item], description: str, *, total: int | None = None, quiet: bool = False) -> Iterator[Item]:
    """Yields the items, counting them on a progress bar of `total` (default: their length)."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    with bar(quiet=quiet) as display:
        task = display.add_task(description, total=total, note="")
        for item in items:
            yield item
            display.advance(task)
