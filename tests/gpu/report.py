"""Where the checks write: a line of text and a JSON record as soon as each is known, so that a cut run keeps them."""

import contextlib
import json
import os
import signal
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType


class Report:
    """`report.txt` and `results.jsonl` in a folder.

    Args:
        folder: made if need be.
        seconds: when the whole must be over, from now; checks that do not fit are named and left out.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ends = time.monotonic() + seconds
        self.failed: list[str] = []

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self.ends - time.monotonic()

    def say(self, text: str) -> None:
        print(text, flush=True)
        with (self.folder / "report.txt").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def note(self, check: str, **values: object) -> None:
        with (self.folder / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"check": check, **values}, default=str) + "\n")

    def expect(self, holds: bool, text: str) -> None:
        """A line with the verdict on something that must hold."""
        self.say(f"{'ok  ' if holds else 'FAIL'} {text}")
        if not holds:
            self.failed.append(text)

    @contextlib.contextmanager
    def check(self, name: str, most: float) -> Iterator[None]:
        """One check, of `most` seconds. What it raises is told, and the next check goes on."""
        limit = min(most, self.left)
        if limit < 5:
            self.say(f"---- {name}: left out, no time")
            self.note(name, left_out=True)
            raise Skipped
        began = time.perf_counter()
        before = signal.signal(signal.SIGALRM, _too_late)
        signal.alarm(max(1, int(limit)))
        try:
            yield
        except Exception as error:
            self.failed.append(name)
            self.say(f"FAIL {name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            self.note(name, error=traceback.format_exc()[-3000:])
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
            self.say(f"     [{name}: {time.perf_counter() - began:.1f} s]")


class Skipped(Exception):
    """A check has no time left."""


def _too_late(number: int, frame: FrameType | None) -> None:
    raise TimeoutError("longer than its share of the time")


def work_folder() -> Path:
    """Where weights, corpora and runs of the checks lie."""
    return Path(os.environ.get("DALR_GPU_CHECK", "/tmp/dalr-gpu-check"))
