"""Reading metrics.jsonl: a line for each optimizer step or evaluation of a run, a JSON object with `step`.

The training run writes it (`dalr.training.run_folder.MetricsLog`). A process that is killed while it writes
leaves half a line at the end, which is no damage: that line is left out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dalr.reading import parse_json

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Logged:
    """The lines of a metrics.jsonl in their order, and how many whole lines are damaged: not JSON, or without
    a step."""

    lines: tuple[dict[str, Any], ...]
    damaged: int


def read_log(path: Path) -> Logged:
    """The lines of the file `path`; none where it does not exist."""
    return parse_log(path.read_bytes()) if path.is_file() else Logged((), 0)


def parse_log(data: bytes) -> Logged:
    """The lines in a file's content, or in a part of it."""
    whole = data[: data.rfind(b"\n") + 1].decode("utf-8", errors="replace").split("\n")[:-1]
    lines = [values for line in whole if (values := _values(line)) is not None]
    return Logged(tuple(lines), len(whole) - len(lines))


def _values(line: str) -> dict[str, Any] | None:
    try:
        values = parse_json(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and type(values.get("step")) is int else None
