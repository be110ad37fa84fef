"""What the package logs, on the command line's stderr."""

import logging
import sys
import time


def log_to_stderr(level: int) -> None:
    """Writes what the package logs, from `level` on, to stderr: news with the time, warnings after the command's
    name. A second call changes the level alone."""
    logger = logging.getLogger("dalr")
    logger.setLevel(level)
    logger.propagate = False
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        logger.addHandler(_Stderr())


class _Stderr(logging.Handler):
    """Writes to whatever sys.stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line a record."""
        if record.levelno >= logging.WARNING:
            prefix = f"dalr: {record.levelname.lower()}: "
        else:
            prefix = time.strftime("%H:%M:%S ", time.localtime(record.created))
        print(prefix + record.getMessage(), file=sys.stderr, flush=True)
