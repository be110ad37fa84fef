"""What a model is: the content of the files that decide its vectors. Needs neither torch nor transformers."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from dalr.checksums import checksums_of
from dalr.errors import InputError
from dalr.extensions import module_of
from dalr.model.folder import model_path, near

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""The first of these that a model has, with the parts that an index names, holds its weights."""

TOKENIZERS = (
    ("tokenizer.json",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("sentencepiece.bpe.model",),
    ("spiece.model",),
    ("tokenizer.model",),
)
"""The first of these that a model has whole decides its tokens."""

TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def model_checksum(name: str) -> str:
    """The hex sha256 of what decides a model's vectors: its weights, config and tokenizer, whatever the name
    and place of the folder, so that a model of the Hub and a copy of it are one.

    Raises:
        InputError: no such model, or it lacks its weights.
    """
    if (own := module_of("text_teacher", name)) is not None:
        return hashlib.sha256(f"{own.sha256}:{name}".encode()).hexdigest()
    path = model_path(name)
    files = _Folder(Path(path)) if Path(path).is_dir() else _HubModel(path)
    chosen = list(_deciding_files(files, name))
    digest = hashlib.sha256()
    for (file, _), checksum in zip(chosen, checksums_of([path for _, path in chosen]), strict=True):
        digest.update(f"{file}:{checksum}\n".encode())
    return digest.hexdigest()


class _Folder:
    """The files of a model's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, file: str) -> Path | None:
        """The file of that name; None where there is none."""
        return path if (path := self._folder / file).is_file() else None

    def others(self) -> list[str]:
        """Weights under names of their own."""
        paths = sorted(self._folder.glob("*.safetensors")) or sorted(self._folder.glob("pytorch_model*.bin"))
        return [path.name for path in paths]


class _HubModel:
    """The files of a model of the Hub, from its cache on this machine, or fetched into it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find(self, file: str) -> Path | None:
        """See `_Folder`. What the cache does not know and the Hub cannot be asked about counts as missing."""
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

        try:
            cached = try_to_load_from_cache(self._name, file)
            if cached is not None:
                return Path(cached) if isinstance(cached, str) else None  # else it is known to be missing
            return Path(hf_hub_download(self._name, file))
        except (EntryNotFoundError, LocalEntryNotFoundError):
            return None
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise InputError(f"model {self._name}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error

    def others(self) -> list[str]:
        """The Hub's models have the usual names."""
        return []


def _deciding_files(files: _Folder | _HubModel, name: str) -> Iterator[tuple[str, Path]]:
    """The files that decide a model's vectors, by name."""
    config = files.find("config.json")
    if config is None:
        raise InputError(f"model {name}: no such folder here, and the hub does not give it{near(name)}")
    yield "config.json", config
    present = ((file, path) for file in WEIGHTS if (path := files.find(file)))
    weights = [first] if (first := next(present, None)) else []
    for index in [path for file, path in weights if file.endswith(".index.json")]:
        parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        weights += [(part, path) for part in parts if (path := files.find(part))]
    weights = weights or [(file, path) for file in files.others() if (path := files.find(file))]
    if not weights:
        raise InputError(f"model {name}: it has no weights (model.safetensors)")
    yield from weights
    for group in TOKENIZERS:
        paths = [(file, path) for file in group if (path := files.find(file))]
        if len(paths) == len(group):
            yield from paths
            break
    yield from [(file, path) for file in TOKENIZER_SETTINGS if (path := files.find(file))]
