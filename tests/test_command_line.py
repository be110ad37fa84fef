"""The command line: help for every command with an example, and bad input as one line with exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

from dalr.__main__ import COMMANDS, DATA_COMMANDS


def dalr(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dalr", *words], capture_output=True, text=True, cwd=cwd, timeout=300)


def test_the_help_page_lists_every_command() -> None:
    done = dalr("--help")
    assert done.returncode == 0
    for name, entry in COMMANDS.items():
        assert name in done.stdout
        assert entry.help.split()[0] in done.stdout


@pytest.mark.parametrize("name", [*COMMANDS, *(f"data {name}" for name in DATA_COMMANDS)])
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = dalr(*name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Example" in done.stdout
    assert "--quiet" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "dalr", "objective.temprature=1", "--out", "run"], "did you mean objective.temperature"),
        (["train", "dalr", "objective.temperature=-1", "--out", "run"], "objective.temperature"),
        (["train", "simsce", "--out", "run"], "did you mean simcse"),
        (["train", "dalr", "--workers", "0", "--out", "run"], "--workers"),
        (["train", "dalr", "data.text=nowhere.txt", "--out", "run"], "no such file"),
        (["train", "dalr"], "--out"),
        (["trian"], "No such command"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: list[str], expected: str, tmp_path: Path) -> None:
    done = dalr(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []
