"""Checkpoints: everything a run's future depends on, in a folder that is there whole or not at all.

`checkpoints/step-000050/` holds `student.safetensors`, `objective.safetensors` (the heads),
`optimizer.pt` and, written last, `meta.json` with the checksums of the others and its own. There is no state of
random generators or of the data's position: both are functions of the seed and the step
(`dalr.training.grad_cache.seed_step`, `dalr.data.mixing`). `checkpoints/best-000040/` holds the weights alone, of
student and heads, and `meta.json`: the best evaluation so far, where no checkpoint was due.
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_file
from torch import Tensor, nn

from dalr.config.overrides import validated
from dalr.errors import InputError
from dalr.files import atomic_write, fsync_and_hash, remove_tree, sha256_of, write_json
from dalr.identity import SCHEMA, Identity
from dalr.training.extension import continues, is_length_key

_NAME = re.compile(r"(step|best)-(\d+)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a run is: optimizer steps done, and the best evaluation so far."""

    step: int = 0
    best_step: int | None = None
    best_score: float | None = None


class DamagedCheckpoint(Exception):
    """A checkpoint is not as it was written. The message is one line."""


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
        path = folder / f"best-{progress.step:06d}"
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
        write_json(aside / "meta.json", {**notes, "sha256": _digest(notes)})
    return path


def _without_ties(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the further names of one that has several, which `load_model` knows by the module."""
    first: dict[tuple[int, int, torch.Size], str] = {}
    for name in sorted(state):
        tensor = state[name]
        place = tensor.untyped_storage().data_ptr() if tensor.numel() else hash(name)
        first.setdefault((place, int(tensor.storage_offset()), tensor.shape), name)
    return {name: state[name].contiguous() for name in first.values()}


def _digest(notes: Mapping[str, Any]) -> str:
    """The sha256 of a checkpoint's notes: they are read, so they are checked like the other files."""
    return hashlib.sha256(json.dumps(notes, sort_keys=True).encode()).hexdigest()


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies among the run's checkpoints."""
    return folder / f"step-{step:06d}"


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
    return path if (path / "meta.json").is_file() else folder / f"best-{step:06d}"


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
        if meta.pop("sha256", None) != _digest(meta):
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


def remove_old(folder: Path, *, keep: int, best_step: int | None) -> None:
    """Removes all but the last `keep` checkpoints and the best one. To be called when a checkpoint that names
    the best one is complete: until then an earlier one names another."""
    for step in superseded(steps_saved(folder), keep=keep, best_step=best_step):
        remove_tree(checkpoint_folder(folder, step))
    for step in _numbers(folder, "best"):
        if step != best_step or weights_folder(folder, step) == checkpoint_folder(folder, step):
            remove_tree(folder / f"best-{step:06d}")


def remove_unnamed(folder: Path, *, best_step: int) -> None:
    """Removes weights that were the best for a while: newer than each checkpoint, so that none names them."""
    newest = max(steps_saved(folder), default=0)
    for step in _numbers(folder, "best"):
        if newest < step != best_step:
            remove_tree(folder / f"best-{step:06d}")


def superseded(steps: Sequence[int], *, keep: int, best_step: int | None) -> list[int]:
    """Which of the ascending steps are neither among the last `keep` nor the best."""
    return [step for step in steps[:-keep] if step != best_step]
