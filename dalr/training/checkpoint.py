"""Checkpoints: everything a run's future depends on, in a folder that is there whole or not at all.

`checkpoints/step-000050/` holds `student.safetensors`, `objective.safetensors` (the heads),
`optimizer.pt` and, written last, `meta.json` with the checksums of the others and its own. There is no state of
random generators or of the data's position: both are functions of the seed and the step
(`dalr.training.grad_cache.seed_step`, `dalr.data.mixing`). `checkpoints/best-000040/` holds the weights alone, of
student and heads, and `meta.json`: the best evaluation so far, where no checkpoint was due.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_file
from torch import Tensor, nn

from dalr.config.overrides import validated
from dalr.errors import InputError
from dalr.files import atomic_write, fsync_and_hash, write_json
from dalr.identity import SCHEMA, Identity
from dalr.training.checkpoint_files import best_folder, checkpoint_folder, notes_digest
from dalr.training.extension import continues, is_length_key


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


@dataclass(frozen=True)
class State:
    """The values of the trainables after some step, as their `state_dict`s give them; `optimizer` is
    None where the weights alone are kept, `objective` where there are no heads."""

    student: Mapping[str, Tensor]
    objective: Mapping[str, Tensor] | None = None
    optimizer: Mapping[str, Any] | None = None


def state_of(trainables: Trainables) -> State:
    """The values as they are now: they change when the optimizer next steps, and not before."""
    return State(
        fixed_buffers(trainables.student), fixed_buffers(trainables.objective), trainables.optimizer.state_dict()
    )


def fixed_buffers(module: nn.Module) -> dict[str, Tensor]:
    """A module's state with copies of its buffers, which a forward pass may change (BatchNorm's statistics)."""
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    state = module.state_dict()
    return {name: value if name in parameters else value.clone() for name, value in state.items()}


def save_checkpoint(folder: Path, state: State, progress: Progress, identity: Identity) -> Path:
    """Writes `folder`/step-N aside, or best-N where the state is the weights alone, and renames it.
    Returns its path."""
    path = checkpoint_folder(folder, progress.step)
    if state.optimizer is None:
        path = best_folder(folder, progress.step)
    with atomic_write(path) as aside:
        aside.mkdir(parents=True)
        save_file(_without_ties(state.student), aside / "student.safetensors")
        if state.objective is not None:
            save_file(_without_ties(state.objective), aside / "objective.safetensors")
        if state.optimizer is not None:
            with (aside / "optimizer.pt").open("wb") as file:  # torch's own writer hides the system's errors
                torch.save(state.optimizer, file)
        notes = {
            **asdict(progress),
            "schema": SCHEMA,
            "config_fingerprint": identity.fingerprint,
            "files": {file.name: fsync_and_hash(file) for file in sorted(aside.iterdir())},
            "contents": dict(identity.contents),
            "config": identity.config.dump(),
        }
        write_json(aside / "meta.json", {**notes, "sha256": notes_digest(notes)})
    return path


def _without_ties(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the further names of one that has several, which `load_model` knows by the module."""
    first: dict[tuple[int, int, torch.Size], str] = {}
    for name in sorted(state):
        tensor = state[name]
        place = tensor.untyped_storage().data_ptr() if tensor.numel() else hash(name)
        first.setdefault((place, int(tensor.storage_offset()), tensor.shape), name)
    return {name: state[name].contiguous() for name in first.values()}


def load_checkpoint(folder: Path, step: int, trainables: Trainables, identity: Identity) -> Progress:
    """Restores the trainables, in place, as they were after `step`.

    Raises:
        InputError: the checkpoint is another config's; the message lists the keys that differ.
    """
    path = checkpoint_folder(folder, step)
    meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    # One of schema 1 has no contents; its run's folder has been compared by then.
    notes = meta if meta.get("schema", 1) >= SCHEMA else {"data": identity.contents}
    differences = identity.differing(meta["config"], notes)
    if all(map(is_length_key, differences)) and continues(validated(meta["config"]), identity.config, step):
        differences = {}
    if differences:
        raise InputError(f"{path}: this checkpoint is of another config; {', '.join(differences.values())}")
    load_weights(path, trainables.student, trainables.objective)
    state = torch.load(path / "optimizer.pt", weights_only=True, map_location="cpu")
    trainables.optimizer.load_state_dict(state)
    return Progress(step=meta["step"], best_step=meta["best_step"], best_score=meta["best_score"])


def load_weights(path: Path, student: nn.Module, objective: nn.Module | None = None) -> None:
    """Restores the student's weights, and the objective's heads where given, from a checkpoint."""
    load_model(student, str(path / "student.safetensors"))
    if objective is not None:
        load_model(objective, str(path / "objective.safetensors"))
