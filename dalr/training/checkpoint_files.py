"""The folders of checkpoints as they lie in a run's folder: which are complete, whole and still needed. What is in them
is `dalr.training.checkpoint`'s; here no tensor is read, and torch is not needed."""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dalr.files import remove_tree, sha256_of

_NAME = re.compile(r"(step|best)-(\d+)")
_log = logging.getLogger(__name__)


class DamagedCheckpoint(Exception):
    """A checkpoint is not as it was written. The message is one line."""


def notes_digest(notes: Mapping[str, Any]) -> str:
    """The sha256 of a checkpoint's notes: they are read, so they are checked like the other files."""
    return hashlib.sha256(json.dumps(notes, sort_keys=True).encode()).hexdigest()


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies among the run's checkpoints."""
    return folder / f"step-{step:06d}"


def best_folder(folder: Path, step: int) -> Path:
    """Where the weights of a step lie that are kept without a checkpoint: the best so far."""
    return folder / f"best-{step:06d}"


def steps_saved(folder: Path) -> list[int]:
    """The steps of the complete checkpoints in `folder`, ascending."""
    return _numbers(folder, "step")


def complete_names(folder: Path) -> list[str]:
    """The names of the complete checkpoints in `folder`, and of weights that are kept alone, in alphabetical order."""
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if _NAME.fullmatch(path.name) and (path / "meta.json").is_file()
    )


def _numbers(folder: Path, kind: str) -> list[int]:
    """The steps of the complete folders of a kind, `step` or `best`, ascending."""
    matches = (_NAME.fullmatch(name) for name in complete_names(folder))
    return sorted(int(match.group(2)) for match in matches if match and match.group(1) == kind)


def weights_folder(folder: Path, step: int) -> Path:
    """Where the weights after `step` lie: in its checkpoint, or by themselves."""
    path = checkpoint_folder(folder, step)
    return path if (path / "meta.json").is_file() else best_folder(folder, step)


def check_usable(folder: Path, step: int) -> None:
    """Reads a checkpoint through, and the best one that it names: a run needs both to end.

    Raises:
        DamagedCheckpoint: a file is missing or is not what was written.
    """
    best = _check_files(checkpoint_folder(folder, step))["best_step"]
    if best not in (None, step):
        _check_files(weights_folder(folder, best))


def _check_files(path: Path) -> dict[str, Any]:
    """A checkpoint's notes, after a look at each of its files."""
    try:
        meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        if meta.pop("sha256", None) != notes_digest(meta):
            raise DamagedCheckpoint(f"{path}: meta.json is not what was written")
        for name, sha256 in meta["files"].items():
            if sha256_of(path / name) != sha256:
                raise DamagedCheckpoint(f"{path}: {name} is not what was written")
    except OSError as error:
        raise DamagedCheckpoint(f"{path}: {error.strerror}: {Path(error.filename).name}") from error
    except ValueError as error:
        raise DamagedCheckpoint(f"{path}: meta.json is not what was written") from error
    return meta


def quarantine(folder: Path) -> None:
    """Renames checkpoints that cannot be used, newest first, until one can: the run goes on from there.
    What is renamed stays for inspection. Each is told in a warning."""
    for step in reversed(steps_saved(folder)):
        try:
            check_usable(folder, step)
            return
        except DamagedCheckpoint as damage:
            path = checkpoint_folder(folder, step)
            aside = path.with_name(f"{path.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
            _log.warning("%s; step %d is kept as %s, an earlier checkpoint takes its place", damage, step, aside.name)


def remove_old(folder: Path, *, keep: int, best_step: int | None) -> None:
    """Removes all but the last `keep` checkpoints and the best one. To be called when a checkpoint that names
    the best one is complete: until then an earlier one names another."""
    for step in superseded(steps_saved(folder), keep=keep, best_step=best_step):
        remove_tree(checkpoint_folder(folder, step))
    for step in _numbers(folder, "best"):
        if step != best_step or weights_folder(folder, step) == checkpoint_folder(folder, step):
            remove_tree(best_folder(folder, step))


def remove_unnamed(folder: Path, *, best_step: int) -> None:
    """Removes weights that were the best for a while: newer than each checkpoint, so that none names them."""
    newest = max(steps_saved(folder), default=0)
    for step in _numbers(folder, "best"):
        if newest < step != best_step:
            remove_tree(best_folder(folder, step))


def superseded(steps: Sequence[int], *, keep: int, best_step: int | None) -> list[int]:
    """Which of the ascending steps are neither among the last `keep` nor the best."""
    return [step for step in steps[:-keep] if step != best_step]
