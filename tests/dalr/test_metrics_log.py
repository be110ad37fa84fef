"""The one reader of metrics.jsonl."""

import json
from pathlib import Path

import pytest

from dalr.metrics_log import parse_log, read_log
from dalr.training.run_folder import MetricsLog

LINES = [{"step": 1, "loss": 0.1}, {"step": 2, "loss": 1e-300, "STSBenchmark.dev": 61.0}]


@pytest.mark.parametrize(
    ("between", "end", "damaged"),
    [
        ("", "", 0),
        ("", '{"step": 3', 0),  # cut off by a kill
        ("", '{"step": 3}', 0),
        ('{"ste\n', "", 1),
        ("[1]\nnull\n5\n\n", "", 4),
        ('{"loss": 1}\n{"step": "1"}\n{"step": true}\n', "", 3),
        ("[" * 10_000 + "\n\x00\ud800\n", "", 2),
    ],
)
def test_whole_lines_with_a_step_are_read_and_others_are_counted(
    tmp_path: Path, between: str, end: str, damaged: int
) -> None:
    first, second = (json.dumps(line) + "\n" for line in LINES)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes((first + between + second + end).encode(errors="surrogatepass"))
    logged = read_log(path)
    assert (list(logged.lines), logged.damaged) == (LINES, damaged)
    assert parse_log(path.read_bytes()) == logged


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert read_log(tmp_path / "metrics.jsonl").lines == ()


def test_what_a_run_writes_is_read_also_after_it_went_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for start in (0, 2):
        log = MetricsLog(path, step=start)
        for step in (start + 1, start + 2, start + 3):
            log.write(step, {"loss": step / 3})
        log.close()
    assert [(line["step"], line["loss"]) for line in read_log(path).lines] == [(step, step / 3) for step in range(1, 6)]
