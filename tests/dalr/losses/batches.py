"""Random global batches and the objectives that fit them."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dalr.config.schema import ObjectiveConfig
from dalr.data.batches import PairedBatch, TeacherTargets, TextBatch, Views
from dalr.losses.objective import Objective
from tests.dalr.losses.sampling import rows

WIDTH, PROJECTION, LENGTH = 6, 4, 3


def make_views(size: int, *, seed: int = 0) -> Views:
    """Two passes that differ a little, float64, leaves of the graph."""
    first = torch.stack([rows(size, WIDTH, seed=seed), rows(size, WIDTH, seed=seed + 1)], 1)
    passes = [rows(size, WIDTH, seed=seed + 2 + k, near=first[:, k]) for k in range(2)]
    pooled = torch.stack([first[:, 0], passes[0]], 1)
    projected = torch.stack([first[:, 1], passes[1]], 1)
    return Views(pooled.requires_grad_(), projected.requires_grad_())


def make_batch(
    size: int,
    *,
    image_width: int = WIDTH,
    caption_width: int = WIDTH,
    teacher_widths: Sequence[int] = (5, 5),
    token_width: int = WIDTH,
    seed: int = 100,
) -> PairedBatch:
    """Images and captions near each other, so that a threshold has something to exclude."""
    lengths = torch.randint(1, LENGTH + 1, (size,), generator=torch.Generator().manual_seed(seed))
    images = rows(size, image_width, seed=seed)
    same = image_width == caption_width
    teachers = TeacherTargets(
        sentences=tuple(rows(size, width, seed=seed + 10 + k) for k, width in enumerate(teacher_widths)),
        tokens=rows(size * LENGTH, token_width, seed=seed + 3).view(size, LENGTH, token_width),
        token_mask=torch.arange(LENGTH) < lengths[:, None],
    )
    ids = torch.zeros(size, LENGTH, dtype=torch.int64)
    return PairedBatch(
        rows=torch.arange(size),
        input_ids=ids,
        attention_mask=ids + 1,
        teachers=teachers,
        images=images,
        captions=rows(size, caption_width, seed=seed + 1, near=images if same else None),
    )


def as_text(batch: PairedBatch) -> TextBatch:
    """The same sentences without their images."""
    return TextBatch(batch.rows, batch.input_ids, batch.attention_mask, batch.teachers)


def permuted(views: Views, batch: PairedBatch, order: Tensor) -> tuple[Views, PairedBatch]:
    """The same batch in another order."""
    teachers = batch.teachers
    assert teachers.tokens is not None
    assert teachers.token_mask is not None
    assert batch.images is not None
    assert batch.captions is not None
    moved = TeacherTargets(
        tuple(t[order] for t in teachers.sentences), teachers.tokens[order], teachers.token_mask[order]
    )
    both = replace(batch, teachers=moved, images=batch.images[order], captions=batch.captions[order])
    return Views(views.pooled[order], views.projected[order]), both


def make_objective(
    config: ObjectiveConfig,
    batch: PairedBatch,
    *,
    weights: Sequence[float] = (1.0, 2.0),
    seed: int = 0,
) -> Objective:
    """An objective for the widths of `batch`, in float64, its heads drawn by seed."""
    assert batch.images is not None
    assert batch.captions is not None
    assert batch.teachers.tokens is not None
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        objective = Objective(
            config,
            width=WIDTH,
            projection_dim=PROJECTION,
            image_width=batch.images.shape[1],
            caption_width=batch.captions.shape[1],
            teacher_widths=[t.shape[1] for t in batch.teachers.sentences],
            teacher_weights=weights,
            token_width=batch.teachers.tokens.shape[2],
        )
    return objective.double()
