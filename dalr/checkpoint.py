"""Checkpoints: everything a run's future depends on, in a folder that is there whole or not at all.

`checkpoints/step-000050/` holds `student.safetensors`, `objective.safetensors` (the heads),
`optimizer.pt` and `meta.json`. There is no state of random generators or of the data's position:
both are functions of the seed and the step (`dalr.training.seed_step`, `dalr.data.mixing`).
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import nn

from dalr.config import RunConfig
from dalr.errors import InputError
from dalr.files import write_json, written_aside

_NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Progress:
    """How far a run is: optimizer steps done, and the best evaluation so far."""

    step: int = 0
    best_step: int | None = None
    best_score: float | None = None


@dataclass(frozen=True)
class Trainables:
    """What a checkpoint saves and restores."""

    student: nn.Module
    objective: nn.Module
    optimizer: torch.optim.Optimizer


def save_checkpoint(folder: Path, trainables: Trainables, progress: Progress, config: RunConfig) -> Path:
    """Writes `folder`/step-N aside and renames it. Returns its path."""
    path = folder / f"step-{progress.step:06d}"
    with written_aside(path) as aside:
        aside.mkdir(parents=True)
        save_model(trainables.student, str(aside / "student.safetensors"))
        save_model(trainables.objective, str(aside / "objective.safetensors"))
        torch.save(trainables.optimizer.state_dict(), aside / "optimizer.pt")
        write_json(
            aside / "meta.json",
            {**asdict(progress), "config_fingerprint": config.fingerprint(), "config": config.dump()},
        )
    return path


def steps_saved(folder: Path) -> list[int]:
    """The steps of the complete checkpoints in `folder`, ascending."""
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir() if (path / "meta.json").is_file())
    return sorted(int(match.group(1)) for match in found if match)


def load_checkpoint(folder: Path, step: int, trainables: Trainables, config: RunConfig) -> Progress:
    """Restores the trainables, in place, as they were after `step`.

    Raises:
        InputError: the checkpoint is another config's; the message lists the keys that differ.
    """
    path = folder / f"step-{step:06d}"
    meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    if meta["config_fingerprint"] != config.fingerprint():
        raise InputError(f"{path}: this checkpoint is of another config; {describe_difference(meta['config'], config)}")
    load_weights(path, trainables.student, trainables.objective)
    state = torch.load(path / "optimizer.pt", weights_only=True, map_location="cpu")
    trainables.optimizer.load_state_dict(state)
    return Progress(step=meta["step"], best_step=meta["best_step"], best_score=meta["best_score"])


def load_weights(path: Path, student: nn.Module, objective: nn.Module | None = None) -> None:
    """Restores the student's weights, and the objective's heads where given, from a checkpoint."""
    load_model(student, str(path / "student.safetensors"))
    if objective is not None:
        load_model(objective, str(path / "objective.safetensors"))


def remove_old(folder: Path, *, keep: int, best_step: int | None) -> None:
    """Removes all but the last `keep` checkpoints and the best one."""
    for step in steps_saved(folder)[:-keep]:
        if step != best_step:
            path = folder / f"step-{step:06d}"
            doomed = path.with_name(f".{path.name}.old")
            path.rename(doomed)
            shutil.rmtree(doomed)


def describe_difference(saved: Mapping[str, Any], config: RunConfig) -> str:
    """The dotted keys whose values differ between a saved config and this one, in one line."""
    old, new = dict(flat_values(saved)), dict(flat_values(config.dump()))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key) and key not in ("data.root", "data.store")]
    return ", ".join(f"{key} was {old.get(key)!r}, is {new.get(key)!r}" for key in keys) or "no key differs"


def flat_values(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """A nested config as (dotted key, value) pairs; elements of a list of parts are keyed by index."""
    if isinstance(values, Mapping):
        return [pair for key, value in values.items() for pair in flat_values(value, f"{prefix}{key}.")]
    if isinstance(values, list) and values and isinstance(values[0], Mapping):
        return [pair for index, value in enumerate(values) for pair in flat_values(value, f"{prefix}{index}.")]
    return [(prefix[:-1], values)]
