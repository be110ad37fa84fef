"""What a long command shows: progress bars on a terminal, a line that changes in a notebook, lines in a log where
there is neither.

Lines go through `logging`, under the logger `dalr`: a program that uses the package sees them when it asks
for level INFO; the command line asks for it (`dalr.logs`).
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 30.0
"""The longest silence of a display that writes lines."""

_log = logging.getLogger(__name__)


class Display(Progress):
    """A progress display on stderr. Where that is no terminal, a line when the work begins, one for each `say`, one
    at its end, and one whenever `SECONDS_BETWEEN_LINES` have passed without; of `brief` work the last alone; where it
    is quiet, nothing. In a notebook these are one line of the cell's output, renewed every second."""

    def __init__(self, *columns: ProgressColumn, quiet: bool, brief: bool = False) -> None:
        terminal = sys.stderr.isatty()
        super().__init__(*columns, console=Console(stderr=True), disable=quiet or not terminal)
        self._lines = not quiet and not terminal
        self._brief = brief
        self._written = 0.0
        self._cell: Any = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Begins to show."""
        super().start()
        if self._lines:
            self._ended.clear()
            self._written = time.monotonic()
            self._cell = _notebook_output()
            if not self._brief:
                self._write()
            threading.Thread(target=self._repeat, daemon=True).start()

    def stop(self) -> None:
        """Ends; the last line shows how far the work came."""
        super().stop()
        if self._lines and not self._ended.is_set():
            self._ended.set()
            if not self._brief:
                self._write()

    def say(self, task: TaskID) -> None:
        """Something worth a line has happened to a task; a bar shows it already."""
        if self._lines:
            self._write(task)

    def _repeat(self) -> None:
        between = SECONDS_BETWEEN_LINES if self._cell is None else 1.0
        while not self._ended.wait(max(0.1, self._written + between - time.monotonic())):
            if time.monotonic() - self._written >= between:
                self._write()

    def _write(self, only: TaskID | None = None) -> None:
        self._written = time.monotonic()
        lines = [self._line(task) for task in list(self.tasks) if only is None or task.id == only]
        if self._cell is not None:
            self._cell.update({"text/plain": "\n".join(lines)}, raw=True)
            return
        for line in lines:
            _log.info("%s", line)

    @staticmethod
    def _line(task: Task) -> str:
        count = ""
        if task.total is not None or task.completed:
            count = f" {task.completed:,.0f}" + (f" of {task.total:,.0f}" if task.total is not None else "")
        note = task.fields.get("note") or ""
        return f"{task.description}{count}" + (f"  {note}" if note else "")


@contextmanager
def repeated(work: Callable[[], object], seconds: float) -> Iterator[None]:
    """Calls `work` every so many seconds while the block runs, in a thread that ends with it."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _notebook_output() -> Any:
    """A handle on a piece of output of the notebook's cell that runs; None where this is no notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display({"text/plain": ""}, raw=True, display_id=True)


def bar(*, quiet: bool = False, brief: bool = False) -> Display:
    """A progress display that counts things; tasks have the field `note`. `brief`: see `Display`."""
    return Display(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        quiet=quiet,
        brief=brief,
    )


def transfer_bar(*, quiet: bool = False) -> Display:
    """A progress display that counts bytes, otherwise like `bar`."""
    return Display(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        quiet=quiet,
    )


def track(items: Iterable[Item], description: str, *, total: int | None = None, quiet: bool = False) -> Iterator[Item]:
    """Yields the items, counting them on a progress bar of `total` (default: their length)."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    with bar(quiet=quiet, brief=True) as display:
        task = display.add_task(description, total=total, note="")
        for item in items:
            yield item
            display.advance(task)
