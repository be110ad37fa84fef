"""Opens Hugging Face encoders: hub names, model folders, and the packaged small encoder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from dalr.errors import InputError
from dalr.extensions import added
from dalr.model.folder import model_errors, model_path
from dalr.model.weights import read_weights

LEAST_VOCABULARY = 0.8
"""The share of the embedding's rows that a model's own tokenizer names at least. Embeddings are padded to
round sizes, by a few hundred rows; a tokenizer of much fewer words is cut off or another model's."""


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
    """An encoder in float32 and its tokenizer, on the CPU, in eval mode; every weight is from the model's
    files. An encoder whose files have no pooler layer has none.

    `layers` keeps the first n transformer layers; `dropout` replaces every dropout probability.

    Raises:
        InputError: the model cannot be found or read, is no text encoder, or has fewer than `layers` layers.
    """
    if (own := added("text_teacher").get(name)) is not None:
        return own()
    path = model_path(name)
    with quiet_transformers():
        config = _config(name, path)
        if dropout is not None:
            for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
                if hasattr(config, key):
                    setattr(config, key, dropout)
        tokenizer = _tokenizer(name, path, config)
        with model_errors(name, path):
            model = read_weights(name, path, config)
    if model.main_input_name != "input_ids":
        raise InputError(f"model {name}: {type(model).__name__} does not read text; expected an encoder such as BERT")
    if layers is not None:
        keep_first_layers(model, layers, name)
    return model.eval(), tokenizer


def _config(name: str, path: str) -> PretrainedConfig:
    with model_errors(name, path):
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    if config.is_encoder_decoder:
        kind = f"an encoder-decoder ({config.model_type})"
    elif not hasattr(config, "hidden_size") or not hasattr(config, "num_hidden_layers"):
        kind = f"no single encoder ({config.model_type})"
    else:
        return config
    raise InputError(f"model {name}: {kind}; expected a text encoder such as BERT or RoBERTa")


def _tokenizer(name: str, path: str, config: PretrainedConfig) -> PreTrainedTokenizerBase:
    with model_errors(name, path):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    rows = getattr(config, "vocab_size", None)
    if rows is None:
        return tokenizer
    if tokenizer.vocab_size > rows or len(tokenizer) < LEAST_VOCABULARY * rows:
        raise InputError(
            f"model {name}: its tokenizer has {len(tokenizer)} words, its config.json {rows}; the tokenizer's files "
            "are missing, cut off or another model's"
        )
    return tokenizer


def keep_first_layers(model: PreTrainedModel, layers: int, name: str) -> None:
    """Cuts the encoder after its first `layers` transformer layers, in place."""
    total = model.config.num_hidden_layers
    if layers > total:
        raise InputError(f"model.layers: {layers} is more than the {total} layers of {name}")
    stack = layer_stack(model)
    if stack is None:
        raise InputError(f"model.layers: cannot tell which part of {name} is its stack of {total} layers")
    del stack[layers:]
    model.config.num_hidden_layers = layers


def layer_stack(model: PreTrainedModel) -> nn.ModuleList | None:
    """The encoder's transformer layers; None where it is not plain which of its parts they are."""
    total = model.config.num_hidden_layers
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == total]
    return stacks[0] if len(stacks) == 1 else None


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of `load_encoder`, without the weights.

    Raises:
        InputError: as `load_encoder`.
    """
    if (own := added("text_teacher").get(name)) is not None:
        return own()[1]
    path = model_path(name)
    with quiet_transformers():
        return _tokenizer(name, path, _config(name, path))


def position_limit(model: PreTrainedModel) -> int | None:
    """The most tokens that the model has positions for; None where its positions are relative.

    RoBERTa's kind counts positions from behind its padding index, so that its tables have rows that no
    token uses; Nystromformer's table has two such rows more than its config says.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    if not positions or positions < 1:
        return None
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return min(int(positions), len(module.weight) - module.padding_idx - 1)
    return int(positions)


def encoder_width(name: str) -> int:
    """The width of an encoder's states, from its config alone."""
    if (own := added("text_teacher").get(name)) is not None:
        return own()[0].config.hidden_size
    with quiet_transformers():
        return _config(name, model_path(name)).hidden_size
