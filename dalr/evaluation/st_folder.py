"""How a sentence-transformers folder pools: the modules behind its transformer.

A folder that pools by one mode, `mean` or `cls`, is read here: that is what dalr exports and what most
models are, and importing sentence-transformers costs 5 seconds of one core and 140 MB in every process.
Any other module is sentence-transformers' own, loaded and run by it, so that nothing can differ from it.
A test compares both ways.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import cached_file

from dalr.config.fields import Pooler
from dalr.errors import InputError
from dalr.model.folder import TRANSFORMERS, model_errors, transformer_folder

OWN: dict[tuple[str, ...], Pooler] = {("mean",): "avg", ("cls",): "cls_before_pooler"}
"""The pooling modes that dalr has a pooler for."""

PACKAGE = "sentence_transformers."
"""The modules' types begin so, in all its releases."""


class SentenceModules(nn.Module):
    """Modules of sentence-transformers behind a transformer, run by itself, in eval mode.

    `name` is for records: `sentence-transformers(cls+max+dense)`. `settings` changes with the modules'
    configs.
    """

    def __init__(self, modules: list[nn.Module], name: str, settings: str) -> None:
        super().__init__()
        self.chain = nn.ModuleList(modules)
        self.name, self.settings = name, settings
        self.requires_grad_(False).eval()

    def width(self, hidden: int) -> int:
        """D, for token states of width `hidden`."""
        device = next(iter(self.parameters()), torch.empty(0)).device
        one_token = torch.zeros(1, 1, hidden, device=device)
        return self(one_token, torch.ones(1, 1, dtype=torch.long, device=device)).shape[-1]

    @torch.no_grad()
    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """states [B, L, H], padded on the right, and mask [B, L] → [B, D]."""
        features: dict[str, Any] = {"token_embeddings": states, "attention_mask": attention_mask}
        for module in self.chain:
            features = module(features)
        return features["sentence_embedding"]


class SentenceHead:
    """What a sentence-transformers folder says of its sentence vectors: a pooler of dalr's, or modules of
    its own; whether a Normalize module follows such a pooler; the prompt that stands before every
    sentence by default; whether text is lower-cased first."""

    def __init__(
        self, pooler: str | SentenceModules, *, normalize: bool = False, prompt: str = "", lower: bool = False
    ) -> None:
        self.pooler, self.normalize, self.prompt, self.lower = pooler, normalize, prompt, lower


def read_head(path: str) -> SentenceHead | None:
    """The head of a folder or a hub name; None where it is not a sentence-transformers model.

    Raises:
        InputError: modules that cannot be read, or that are not sentence-transformers' own.
    """
    transformer, path = path, _root(path)
    modules = _json(path, "modules.json")
    if modules is None:
        return None
    with model_errors(path, path):
        behind = [(str(module["type"]), str(module.get("path") or "")) for module in modules]
    behind = [(kind, place) for kind, place in behind if kind.rpartition(".")[2] not in (*TRANSFORMERS, "Dropout")]
    pooling = next((_json(path, f"{place}/config.json") for kind, place in behind if kind.endswith(".Pooling")), None)
    options = _text_options(path, transformer, pooling or {})
    kinds = [kind.rpartition(".")[2] for kind, _ in behind]
    own = OWN.get(_modes(pooling)) if pooling is not None else None
    if own is not None and kinds in (["Pooling"], ["Pooling", "Normalize"]):
        return SentenceHead(own, normalize="Normalize" in kinds, **options)
    return SentenceHead(_modules(path, behind, pooling), **options)


def _root(path: str) -> str:
    """The folder of the model whose encoder lies in `path`: see `dalr.model.folder.transformer_folder`."""
    above = Path(path).parent
    inside = (above / "modules.json").is_file() and transformer_folder(above) == Path(path)
    return str(above) if inside else path


def _modes(config: dict[str, Any]) -> tuple[str, ...]:
    """The pooling modes of a Pooling module's config, the switches of older releases included."""
    named = config.get("pooling_mode")
    if named is not None:
        return (named,) if isinstance(named, str) else tuple(named)
    names = {"cls_token": "cls", "max_tokens": "max", "mean_tokens": "mean"}
    switched = [
        key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on
    ]
    return tuple(names.get(mode, mode) for mode in switched) or ("mean",)


def _modules(path: str, behind: list[tuple[str, str]], pooling: dict[str, Any] | None) -> SentenceModules:
    """The modules as sentence-transformers reads them."""
    foreign = next((kind for kind, _ in behind if not kind.startswith(PACKAGE)), None)
    if foreign is not None:
        raise InputError(f"model {path}: its module {foreign} is code of its own; name a pooler")
    from sentence_transformers.sentence_transformer import modules as known

    loaded: list[nn.Module] = []
    for kind, place in behind:
        name = kind.rpartition(".")[2]
        if not hasattr(known, name):
            raise InputError(f"model {path}: sentence-transformers has no module {name}; name a pooler")
        with model_errors(path, path):
            loaded.append(getattr(known, name).load(path, subfolder=place))
    others = [kind.rpartition(".")[2].lower() for kind, _ in behind if not kind.endswith(".Pooling")]
    name = f"sentence-transformers({'+'.join([*(_modes(pooling) if pooling else ()), *others])})"
    settings = json.dumps([module.get_config_dict() for module in loaded], sort_keys=True, default=str)  # type: ignore[operator]
    return SentenceModules(loaded, name, settings)


def _text_options(path: str, encoder: str, pooling: dict[str, Any]) -> dict[str, Any]:
    """What is done to a sentence's text before it is tokenised: by the model in `path`, and by its encoder."""
    about = _json(path, "config_sentence_transformers.json") or {}
    transformer = _json(encoder, "sentence_bert_config.json") or {}
    prompt = (about.get("prompts") or {}).get(about.get("default_prompt_name")) or ""
    if prompt and pooling.get("include_prompt") is False:
        raise InputError(f"model {path}: it leaves its default prompt {prompt!r} out of its pooling; name a pooler")
    return {"prompt": prompt, "lower": bool(transformer.get("do_lower_case"))}


def _json(path: str, name: str) -> Any:
    file = _file(path, name)
    if file is None:
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{file}: not a readable JSON file: {error}") from error


def _file(path: str, name: str) -> Path | None:
    """A file of a folder, or of a hub model's cache, downloaded if need be; None where it has none."""
    if Path(path).is_dir():
        file = Path(path) / name
        return file if file.is_file() else None
    # Loading the model reports it if there is no such model; here a file may be missing in either case.
    cached = cached_file(
        path,
        name,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(cached) if cached else None
