"""What a run in a tracker is called, belongs to, and came to, where it is one of many: a trial's run in a sweep."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dalr.files import write_json

ENDED = "ended.json"
"""In a run's folder, what a sweep has decided of the run before its worker leaves: `state` and `reason`."""

STATES = {"finished": "complete", "stopped": "unfinished", "failed": "failed"}
"""How a run has ended by itself, as the states of trials are called."""


@dataclass(frozen=True)
class Labels:
    """`name` is the run's, `group` the sweep's, whose folder is `place`, `subgroup` its trial's (`trial-0007`) or final
    run's; `tags` are single words, `values` named ones: the recipe, the point, the seed."""

    name: str
    group: str
    subgroup: str
    place: Path
    tags: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


def note_ending(folder: Path, state: str, reason: str | None) -> None:
    """Writes down, where its trackers find it, how the run in a folder ends by a decision from outside."""
    write_json(folder / ENDED, {"state": state, "reason": reason or ""})


def ending(folder: Path, state: str, reason: str | None) -> tuple[str, str]:
    """State and reason of the end of the run in a folder: what was decided from outside, else how it has ended by
    itself, one of `STATES`."""
    path = folder / ENDED
    if state == "stopped" and path.is_file():
        decided = json.loads(path.read_text(encoding="utf-8"))
        return decided["state"], decided["reason"]
    return STATES[state], reason or ""
