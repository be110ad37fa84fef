"""Where there is no terminal, long work writes a line at its start, at what is worth one, at its end, and never
falls silent for long; quiet writes none."""

import logging
import threading
from collections.abc import Iterator

import pytest

from dalr import progress
from dalr.logs import log_to_stderr
from dalr.progress import bar, track


@pytest.fixture(autouse=True)
def news(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The logger as before the test."""
    logger = logging.getLogger("dalr")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    before = logger.level
    log_to_stderr(logging.INFO)
    yield
    logger.setLevel(before)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]


def test_a_line_at_the_start_at_what_is_worth_one_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with bar() as display:
        task = display.add_task("training", total=1500, note="")
        display.update(task, completed=3, note="loss 1.5")
        assert lines(capsys) == []
        display.say(task)
        assert lines(capsys) == ["training 3 of 1,500  loss 1.5"]
        display.update(task, completed=1500)
    assert lines(capsys) == ["training 1,500 of 1,500  loss 1.5"]


def test_a_line_whenever_the_silence_was_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = threading.Event()
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress._log, "info", lambda *_: written.set())
    display = bar()
    display.add_task("extracting", total=None, note="")
    display.start()
    written.clear()
    assert written.wait(20), "nothing was written while the work went on"
    display.stop()


def test_quiet_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bar(quiet=True) as display:
        display.say(display.add_task("training", total=3, note=""))
    assert lines(capsys) == []


def test_brief_work_writes_nothing_before_it_was_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2], "reading")) == [1, 2]
    assert lines(capsys) == []


def test_warnings_follow_the_commands_name(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(logging.WARNING)
    logging.getLogger("dalr.somewhere").warning("data.images has no effect")
    logging.getLogger("dalr.somewhere").info("not shown")
    assert capsys.readouterr().err == "dalr: warning: data.images has no effect\n"
