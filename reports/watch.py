"""The report of a sweep that runs: made again and again, its page reloading itself."""

import time
from collections.abc import Callable
from pathlib import Path

from dalr.files import write_text

_HEAD = "<head>"


def remake(make: Callable[[], object], out: Path, *, seconds: int) -> None:
    """Calls `make`, which has been called once and writes the report in `out`, every so many seconds until
    interrupted. Meanwhile the page asks the browser to load it anew; the one that stays does not."""
    page = out / "index.html"
    try:
        while True:
            write_text(page, reloading(page.read_text(encoding="utf-8"), seconds))
            time.sleep(seconds)
            make()
    except KeyboardInterrupt:
        make()


def reloading(html: str, seconds: int) -> str:
    """A page that its browser loads anew every so many seconds."""
    return html.replace(_HEAD, f'{_HEAD}<meta http-equiv="refresh" content="{seconds}">', 1)
