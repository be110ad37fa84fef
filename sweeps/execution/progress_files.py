"""When a running sweep's files are written: their cost grows with the trials, so not after each of them."""

import time
from collections.abc import Callable


class ProgressFiles:
    """Calls `write` for what has changed, at most every `EVERY` seconds. A killed driver leaves older files behind;
    the next start writes them again from the study."""

    EVERY = 30.0

    def __init__(self, write: Callable[[], object], now: Callable[[], float] = time.monotonic) -> None:
        self._write, self._now = write, now
        self._stale = False
        self._written: float | None = None

    def changed(self) -> None:
        """Says that the files are out of date."""
        self._stale = True
        self.write_if_due()

    def write_if_due(self) -> None:
        """To be called now and then, so that the last change does not wait for the next one."""
        if self._stale and (self._written is None or self._now() - self._written >= self.EVERY):
            self._stale = False
            self._write()
            self._written = self._now()
