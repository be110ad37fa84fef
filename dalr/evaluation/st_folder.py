"""How a sentence-transformers folder pools: its modules behind the transformer, read and run."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.utils import cached_file

from dalr.config.schema import Pooler
from dalr.errors import InputError
from dalr.model.pooling import masked_mean

MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""The switches of older Pooling configs, in the order in which their vectors are concatenated."""

ACTIVATIONS: dict[str, type[nn.Module]] = {"Tanh": nn.Tanh, "Identity": nn.Identity, "ReLU": nn.ReLU, "GELU": nn.GELU}


class SentenceHead(nn.Module):
    """The poolings of a sentence-transformers folder, concatenated, then its dense layers.

    `normalize` says whether a Normalize module follows; the caller applies it.
    """

    def __init__(self, modes: tuple[str, ...], dense: list[nn.Module], *, normalize: bool) -> None:
        super().__init__()
        self.modes = modes
        self.dense = nn.Sequential(*dense)
        self.normalize = normalize
        self.eval()

    @property
    def name(self) -> str:
        """For records: `sentence-transformers(mean+dense)`."""
        return f"sentence-transformers({'+'.join([*self.modes, *['dense'] * (len(self.dense) // 2)])})"

    def as_pooler(self) -> Pooler | None:
        """The pooler of ours that is the same, if one is."""
        if len(self.dense):
            return None
        named: dict[tuple[str, ...], Pooler] = {("mean",): "avg", ("cls",): "cls_before_pooler"}
        return named.get(self.modes)

    def width(self, hidden: int) -> int:
        """D, for token states of width `hidden`."""
        linear = [layer for layer in self.dense if isinstance(layer, nn.Linear)]
        return linear[-1].out_features if linear else hidden * len(self.modes)

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """states [B, L, H], padded on the right, and mask [B, L] → [B, D]."""
        return self.dense(torch.cat([pooled(states, attention_mask, mode) for mode in self.modes], dim=-1))


def pooled(states: Tensor, attention_mask: Tensor, mode: str) -> Tensor:
    """One pooling mode of sentence-transformers: states [B, L, H], mask [B, L] → [B, H]."""
    mask = attention_mask.unsqueeze(-1).to(states.dtype)
    match mode:
        case "cls":
            return states[:, 0]
        case "mean":
            return masked_mean(states, attention_mask)
        case "max":
            return states.masked_fill(mask == 0, float("-inf")).max(1).values
        case "mean_sqrt_len_tokens":
            return (states * mask).sum(1) / mask.sum(1).clamp(min=1.0).sqrt()
        case "weightedmean":
            weights = mask * torch.arange(1, states.shape[1] + 1, device=states.device).view(1, -1, 1)
            return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        case "lasttoken":
            last = attention_mask.sum(1).clamp(min=1) - 1
            return states[torch.arange(len(states), device=states.device), last]
    raise InputError(f"sentence-transformers: unknown pooling mode {mode!r}")


def read_head(path: str) -> SentenceHead | None:
    """The head of a folder or a hub name; None where it is not a sentence-transformers model.

    Raises:
        InputError: a module that cannot be reproduced here.
    """
    modules = _json(path, "modules.json")
    if modules is None:
        return None
    modes: tuple[str, ...] = ()
    dense: list[nn.Module] = []
    normalize = False
    for module in modules:
        kind, place = str(module["type"]).rsplit(".", 1)[-1], module.get("path") or ""
        if kind == "Pooling":
            modes = _modes(_json(path, f"{place}/config.json") or {}, path)
        elif kind == "Dense":
            dense += _dense(path, place)
        elif kind == "Normalize":
            normalize = True
        elif kind not in ("Transformer", "Dropout"):
            raise InputError(f"model {path}: sentence-transformers module {kind} is not supported; name a pooler")
    return SentenceHead(modes or ("mean",), dense, normalize=normalize)


def _modes(config: dict[str, Any], path: str) -> tuple[str, ...]:
    named = config.get("pooling_mode")
    if named is None:
        named = [mode for key, mode in MODES.items() if config.get(key)] or ["mean"]
    modes = (named,) if isinstance(named, str) else tuple(named)
    unknown = [mode for mode in modes if mode not in MODES.values()]
    if unknown:
        raise InputError(f"model {path}: pooling mode {unknown[0]!r} is not known; name a pooler")
    return modes


def _dense(path: str, place: str) -> list[nn.Module]:
    config = _json(path, f"{place}/config.json") or {}
    activation = str(config.get("activation_function", "Identity")).rsplit(".", 1)[-1]
    weights = _file(path, f"{place}/model.safetensors")
    if activation not in ACTIVATIONS or weights is None:
        raise InputError(f"model {path}: its Dense module needs safetensors and one of {', '.join(ACTIVATIONS)}")
    linear = nn.Linear(config["in_features"], config["out_features"], bias=config.get("bias", True))
    linear.load_state_dict({key.removeprefix("linear."): value for key, value in load_file(weights).items()})
    return [linear, ACTIVATIONS[activation]()]


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
    # Whether the model can be had at all is said on loading it; a file may be missing in either case.
    found = cached_file(
        path,
        name,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found else None
