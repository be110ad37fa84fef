"""The keys of a `RunConfig`: which there are, what each may be, and which one a wrong name meant."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from dalr.config.fields import OneOf, PathKey
from dalr.config.objective import KeysOfTerms
from dalr.config.schema import RunConfig
from dalr.errors import did_you_mean
from dalr.validation import as_written

OTHER_NAMES: Mapping[str, str] = {
    "lr": "optim.learning_rate",
    "adam_epsilon": "optim.eps",
    "epsilon": "optim.eps",
    "lr_scheduler": "optim.schedule",
    "lr_scheduler_type": "optim.schedule",
    "scheduler": "optim.schedule",
    "gradient_clip_val": "optim.clip_norm",
    "grad_clip": "optim.clip_norm",
    "max_grad_norm": "optim.clip_norm",
    "num_warmup_steps": "optim.warmup_steps",
    "warmup": "optim.warmup_steps",
    "warmup_ratio": "optim.warmup_steps",
    "wd": "optim.weight_decay",
    "batch": "train.batch_size",
    "bs": "train.batch_size",
    "per_device_train_batch_size": "train.batch_size",
    "train_batch_size": "train.batch_size",
    "max_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "num_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "max_steps": "train.steps",
    "max_train_steps": "train.steps",
    "num_steps": "train.steps",
    "random_seed": "train.seed",
    "random_state": "train.seed",
    "eval_steps": "train.eval_every",
    "save_steps": "train.checkpoint_every",
    "save_total_limit": "train.keep",
    "gradient_accumulation_steps": "train.accumulate",
    "accumulate_grad_batches": "train.accumulate",
    "gradient_checkpointing": "train.activation_checkpointing",
    "torch_compile": "train.compile",
    "amp": "train.precision",
    "bf16": "train.precision",
    "dtype": "train.precision",
    "fp16": "train.precision",
    "mixed_precision": "train.precision",
    "max_length": "model.max_tokens",
    "max_len": "model.max_tokens",
    "max_seq_length": "model.max_tokens",
    "max_seq_len": "model.max_tokens",
    "encoder": "model.student",
    "init_checkpoint": "model.init",
    "init_from": "model.init",
    "pretrained": "model.init",
    "warm_start": "model.init",
    "model_name": "model.student",
    "model_name_or_path": "model.student",
    "num_hidden_layers": "model.layers",
    "num_layers": "model.layers",
    "pooler_type": "model.pooler",
    "pooling": "model.pooler",
    "pooling_mode": "model.pooler",
    "proj_dim": "model.projection_dim",
    "hidden_dropout_prob": "model.dropout",
    "attention_probs_dropout_prob": "model.dropout",
    "caption_file": "data.captions",
    "feature_file": "data.image_features",
    "text_file": "data.text",
    "train_file": "data.text",
    "image_root": "data.images",
    "data_dir": "data.root",
    "data_root": "data.root",
    "metric_for_best_model": "evaluation.metric",
    "monitor": "evaluation.metric",
    "temp": "objective.temperature",
    "tau": "objective.temperature",
    "temp_vl": "objective.temperature_vl",
    "tau2": "objective.temperature_rank",
    "margin1": "objective.margin_text",
    "margin2": "objective.margin_vl",
    "lambda": "objective.cross_modal",
    "lbd": "objective.cross_modal",
    "mu": "objective.intra_modal",
    "distillation_loss": "objective.rank_loss",
    "alpha": "teachers.text.0.weight",
    "teacher": "teachers.text.0.model",
    "clip_model": "teachers.image.model",
}
"""What PyTorch, Hugging Face, Lightning, Weights & Biases and the authors' scripts call our keys."""


def known_keys() -> list[str]:
    """Every dotted key of a `RunConfig`, elements of lists as index 0."""
    return list(_keys(RunConfig, ""))


def _keys(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        part = part_of(field)
        if part is not None:
            yield from _keys(part, f"{prefix}{name}.0." if _is_list(field) else f"{prefix}{name}.")


def part_of(field: FieldInfo) -> type[BaseModel] | None:
    """The class of keys below a field; None for a value."""
    for mark in field.metadata:
        if isinstance(mark, KeysOfTerms):
            return mark.part()
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _is_list(field: FieldInfo) -> bool:
    """Whether a field holds a list, whose elements are addressed by index."""
    return get_origin(field.annotation) is tuple


def field_at(key: str) -> FieldInfo | None:
    """The declaration of a dotted key, or None where there is none."""
    model: type[BaseModel] | None = RunConfig
    field: FieldInfo | None = None
    for step in key.split("."):
        if step.isdecimal() and field is not None and model is not None and _is_list(field):
            continue
        if model is None or step not in model.model_fields:
            return None
        field = model.model_fields[step]
        model = part_of(field)
    return field


def _types(annotation: Any) -> Iterator[Any]:
    """The members of a union, each with its own metadata; else the type alone."""
    if get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _types(member)
    else:
        yield annotation


def _is_path(key: str) -> bool:
    field = field_at(key)
    types = _types(field.annotation) if field is not None else ()
    return any(isinstance(mark, PathKey) for kind in types for mark in getattr(kind, "__metadata__", ()))


PATH_KEYS = tuple(key for key in known_keys() if _is_path(key))
"""The keys whose value is the path of a file or folder (`dalr.config.schema.DataPath`)."""


def takes_text(key: str) -> bool:
    """Whether a key's value is free text, a name or a path, but no list of them."""
    field = field_at(key)
    types = _types(field.annotation) if field is not None else ()
    return any(kind is str or (hasattr(kind, "__metadata__") and get_args(kind)[0] is str) for kind in types)


def as_field_value(key: str, value: Any) -> Any:
    """A value as a key's field holds it: `1` and `"1"` are 1.0 where the field is a number with a fraction.

    Raises:
        ValueError: the field takes no such value; the message says what it takes.
    """
    field = field_at(key)
    if field is None or (isinstance(value, bool) and bool not in _types(field.annotation)):
        raise ValueError(f"{as_written(value)} is not allowed; {describe(key)}")
    try:
        config = None if part_of(field) is field.annotation else ConfigDict(allow_inf_nan=False)
        adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field], config=config)  # type: ignore[arg-type]
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{as_written(value)} is not allowed; {describe(key)}") from error


def describe(key: str) -> str:
    """What a key's value may be, in words: `expected a number >= 0.001 and <= 100.0`."""
    field = field_at(key)
    if field is None:
        return "there is no such key"
    return "expected " + describe_type(field.annotation, field.metadata)


def default_of(key: str) -> str:
    """A key's default as a user writes it; `none` where a value must be given."""
    field = field_at(key)
    if field is None or field.is_required():
        return "none"
    if part_of(field) is field.annotation or any(isinstance(mark, KeysOfTerms) for mark in field.metadata):
        return "its keys' own"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return value if isinstance(value, str) else as_written(value)


_KINDS = {float: "a number", int: "an integer", str: "text", bool: "true or false", type(None): "null"}
_BOUNDS = (
    (annotated_types.Gt, "gt", ">"),
    (annotated_types.Ge, "ge", ">="),
    (annotated_types.Lt, "lt", "<"),
    (annotated_types.Le, "le", "<="),
)


def describe_type(kind: Any, metadata: Sequence[Any] = ()) -> str:
    """A field's type and bounds in words."""
    bounds = [
        f"{sign} {getattr(item, name)}"
        for item in _flat(metadata)
        for cls, name, sign in _BOUNDS
        if isinstance(item, cls)
    ]
    for item in metadata:
        if isinstance(item, PathKey):
            return "a path"
        if isinstance(item, OneOf):
            return f"one of {', '.join(item.names())}"
        if isinstance(item, KeysOfTerms):
            return f"a group of keys ({', '.join(item.part().model_fields)})"
    if kind in _KINDS:
        return " ".join([_KINDS[kind], " and ".join(bounds)]).strip()
    members = get_args(kind)
    if hasattr(kind, "__metadata__"):
        return describe_type(members[0], kind.__metadata__)
    if members and all(isinstance(member, str) for member in members):
        return members[0] if len(members) == 1 else "one of " + ", ".join(members)
    if members and get_origin(kind) is tuple:
        return f"a list [...] of {describe_type(members[0])}"
    if members:
        return " or ".join(describe_type(member, metadata if member in (int, float) else ()) for member in members)
    return f"a group of keys ({', '.join(kind.model_fields)})" if hasattr(kind, "model_fields") else str(kind)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def meant(name: str) -> str | None:
    """The key that a wrong name stands for: by its last part, or as other libraries call it; None where no key fits."""
    last = name.lstrip("-").split(".")[-1].replace("-", "_")
    same = [key for key in known_keys() if key.split(".")[-1] == last]
    return same[0] if same else OTHER_NAMES.get(last.lower())


def key_of_option(option: str) -> str | None:
    """The key that a command-line option such as --seed, --lr or --train.steps means; None where it means none."""
    name = option.lstrip("-").partition("=")[0].replace("-", "_")
    return name if field_at(name) is not None else meant(name)


def unknown_key(key: str, known: Iterable[str] | None = None) -> str:
    """The sentence for a key that does not exist, with the one that was probably meant."""
    own = meant(key)
    hint = f"; did you mean {own}?" if own else did_you_mean(key, known_keys() if known is None else known)
    return f"unknown key {key}{hint}"
