"""Small sets of arrays in the feature store that are written at once: a folder with a manifest."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dalr.data.store import key_of, refuse_other
from dalr.errors import InputError
from dalr.files import atomic_write, remove_leftovers, sha256_of, write_json


def folder_for(store: Path, kind: str, identity: Mapping[str, Any]) -> Path:
    """Where the arrays of an identity lie."""
    return store / f"{kind}-{key_of(identity)}"


def save_arrays(
    folder: Path, identity: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], **also: int | list[str] | None
) -> None:
    """Writes each array as `NAME.npy`, and a manifest with their checksums and with `also`. The
    caller holds the folder's lock."""
    remove_leftovers(folder.parent, folder.name)
    with atomic_write(folder) as aside:
        aside.mkdir()
        for name, array in arrays.items():
            np.save(aside / f"{name}.npy", array, allow_pickle=False)
        files = {f"{name}.npy": sha256_of(aside / f"{name}.npy") for name in arrays}
        write_json(aside / "manifest.json", {"identity": dict(identity), **also, "files": files})


def are_saved(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the folder holds the arrays of this identity, whole.

    Raises:
        InputError: it holds those of another; the message has the differing keys.
    """
    if not (folder / "manifest.json").exists():
        return False
    manifest = read_manifest(folder)
    refuse_other(folder, manifest["identity"], identity)
    return all((folder / name).is_file() and sha256_of(folder / name) == sha for name, sha in manifest["files"].items())


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of saved arrays."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"data.store: {path} is not a manifest of the feature store; remove {folder}") from error
    if not isinstance(manifest, dict) or not {"identity", "files"} <= manifest.keys():
        raise InputError(f"data.store: {path} is not a manifest of the feature store; remove {folder}")
    return manifest
