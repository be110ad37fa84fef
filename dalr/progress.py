"""Progress bars on a terminal, silence elsewhere."""

import sys
from collections.abc import Iterable, Iterator, Mapping
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

from dalr.training.callbacks import Outcome, Reporter

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


def describe(line: Mapping[str, float]) -> str:
    """A line of metrics.jsonl in a few words."""
    scores = [f"{name} {value:.2f}" for name, value in line.items() if name.endswith((".dev", ".test", ".train"))]
    return "  ".join([f"loss {line['loss']:.3f}", f"{line['samples_per_second']:.0f} samples/s", *scores])


class ProgressReporter(Reporter):
    """Shows a run's steps on a progress bar."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._display = bar(quiet=quiet)
        self._task = self._display.add_task("training", total=None, note="")

    def on_start(self, step: int, total: int) -> None:
        self._display.start()
        self._display.update(self._task, completed=step, total=total)

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        self._display.update(self._task, completed=step, note=describe(metrics))

    def on_end(self, outcome: Outcome) -> None:
        self._display.stop()

    def on_failure(self, error: BaseException) -> None:
        self._display.stop()
