"""Reads an encoder's weights so that every tensor of it comes from the file.

transformers draws what a file lacks at random and goes on. Files lack everything where their names carry a
prefix that it does not know, as the wrappers of training code leave it: `module.` of
DistributedDataParallel, `_orig_mod.` of torch.compile, `model.` of Lightning.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from dalr.errors import InputError

WRAPPERS = frozenset(
    "module _orig_mod model encoder 0 auto_model transformer backbone base_model base net network lm sentence_encoder "
    "text_encoder text_model student bert roberta xlm_roberta distilbert mpnet albert deberta electra".split()
)
"""The attributes under which training code holds one encoder. A name that says which of several it is
(`encoder_q`, `momentum_encoder`, `teacher`) is not among them."""

INNER = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What compiled, sharded and checkpointed modules add inside names, at any depth."""

NAMED = 3
"""So many names of each side an error lists."""


def read_weights(name: str, path: str, config: PretrainedConfig) -> PreTrainedModel:
    """The encoder of a model folder or a hub name, in float32, each of its tensors from the file.

    A prefix of known wrappers is taken off the file's names. Only a pooler layer may be missing: the
    encoder then has none (`pooler` is None), so that nobody can use a random one.

    Raises:
        InputError: tensors that are missing, of another shape, or of more layers than `config` has.
    """
    model, missing, unused = _read(name, path, config, {})
    if missing - _pooler(missing):
        complete = [
            names
            for names in behind_wrappers(unused, model.base_model_prefix)
            if names.keys() >= missing - _pooler(missing)
        ]
        if len(complete) > 1:
            copies = ", ".join(sorted(f"{min(names.values())}…" for names in complete))
            raise InputError(f"model {name}: its weights hold several encoders ({copies}); keep one of them")
        for names in complete:
            model, missing, unused = _read(name, path, config, names)
    without = _pooler(missing)
    if without and without == _pooler(model.state_dict()):
        model.pooler = None  # type: ignore[assignment]
        missing -= without
    if missing:
        raise InputError(
            f"model {name}: its weights lack {len(missing)} of the encoder's {len(model.state_dict())} tensors "
            f"({some(missing)}) and have instead: {some(unused)}; expected the names that "
            f"{type(model).__name__} has, or those behind one prefix (module., model., encoder.)"
        )
    if deeper := _deeper(model, unused):
        raise InputError(
            f"model {name}: its weights have layers that config.json does not count ({some(deeper)}); "
            "mend config.json, and use model.layers to cut the encoder"
        )
    return model


def _read(
    name: str, path: str, config: PretrainedConfig, names: Mapping[str, str]
) -> tuple[PreTrainedModel, set[str], set[str]]:
    """The model, the names that the file lacks, and the file's names that are no part of it. `names` maps
    the encoder's names to the file's where these differ."""
    model, about = AutoModel.from_pretrained(
        path,
        config=config,
        dtype="float32",
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        key_mapping={rf"^{re.escape(there)}$": own for own, there in names.items()} or None,
    )
    for tensor, there, expected in sorted(about["mismatched_keys"]):
        raise InputError(
            f"model {name}: {tensor} is {list(there)} in its weights, but {list(expected)} by its config.json"
        )
    return model, set(about["missing_keys"]), set(about["unexpected_keys"])


def _pooler(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.startswith("pooler.")}


def behind_wrappers(unused: Iterable[str], own: str | None = None) -> list[dict[str, str]]:
    """For each prefix of known wrappers, or the encoder's `own`, what the file has behind it: the names
    without it, each with the file's name."""
    behind: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in unused:
        parts = INNER.sub("", name).split(".")
        for depth in range(len(parts)):
            if not set(parts[:depth]) <= WRAPPERS | {own}:
                break
            behind[tuple(parts[:depth])][".".join(parts[depth:])] = name
    return list(behind.values())


def _deeper(model: PreTrainedModel, unused: Iterable[str]) -> set[str]:
    """Those of the file's unused names that differ from the encoder's own in the number of the layer alone."""
    kinds = {re.sub(r"\.\d+\.", ".*.", name) for name in model.state_dict() if re.search(r"\.\d+\.", name)}
    bare = {name: INNER.sub("", name).removeprefix(f"{model.base_model_prefix}.") for name in unused}
    return {name for name, rest in bare.items() if re.sub(r"\.\d+\.", ".*.", rest) in kinds}


def some(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    first = sorted(names)[:NAMED]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "") or "no others"
