"""The batches that the objective sees."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

SHAPE_STEP = 8
"""On CUDA, lengths are rounded up to a multiple of this: kernels are chosen and planned once a shape, and
attention wants its masks aligned to it."""


@dataclass(frozen=True)
class TeacherTargets:
    """What the frozen text teachers say of a batch: constants, the same for both dropout passes.

    `sentences`: one float32 [B, T_k] for each text teacher, in the order of the config. `tokens`:
    the teachers' token states without [CLS], mixed with the teachers' weights, float32 [B, M, T], not
    yet normalised; `token_mask`: bool [B, M], true where `tokens` holds a token of the sentence.
    Both are None where no term needs them.
    """

    sentences: tuple[Tensor, ...] = ()
    tokens: Tensor | None = None
    token_mask: Tensor | None = None


@dataclass(frozen=True)
class TextBatch:
    """B sentences of the global batch.

    `rows`: int64 [B], the sentences' rows in their corpus. `input_ids` and `attention_mask`: int64
    [B, L], padded on the right to at least the longest sentence. `lengths`: the tokens of each row, as plain
    numbers, so that they need not be read from the device.
    """

    rows: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    teachers: TeacherTargets = TeacherTargets()
    lengths: tuple[int, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if len(self.lengths) != len(self.rows):
            object.__setattr__(self, "lengths", tuple(self.attention_mask.sum(1).tolist()))

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class PairedBatch(TextBatch):
    """B captions with their images' features.

    `images`: float32 [B, V], None where no term needs them. `captions`: the image teacher's features
    of the captions, float32 [B, C], likewise.
    """

    images: Tensor | None = None
    captions: Tensor | None = None


@dataclass(frozen=True)
class Views:
    """The student's two dropout passes over the global batch.

    `pooled` [B, 2, D]: h and h', before the student's head. `projected` [B, 2, D]: z and z', after it.
    """

    pooled: Tensor
    projected: Tensor


def shape_step(device: torch.device) -> int:
    """What lengths are rounded up to a multiple of on a device; 1 is as they are."""
    return SHAPE_STEP if device.type == "cuda" else 1


def rounded_up(length: int, step: int, most: int) -> int:
    """The next multiple of `step` from `length` on, but `most` at most."""
    return max(length, min(-(-length // step) * step, most))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`. To CUDA it goes through pinned memory: a copy that nothing waits for."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def on_device(batch: TextBatch, device: torch.device) -> TextBatch:
    """The batch with every tensor on `device`."""
    return with_tensors(batch, lambda tensor: to_device(tensor, device))


def with_tensors(batch: TextBatch, change: Callable[[Tensor], Tensor]) -> TextBatch:
    """The batch with `change` of every tensor."""
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    changed: dict[str, Any] = {
        name: change(value) if isinstance(value, Tensor) else value for name, value in values.items()
    }
    teachers = batch.teachers
    changed["teachers"] = TeacherTargets(
        sentences=tuple(change(vectors) for vectors in teachers.sentences),
        tokens=None if teachers.tokens is None else change(teachers.tokens),
        token_mask=None if teachers.token_mask is None else change(teachers.token_mask),
    )
    return replace(batch, **changed)
