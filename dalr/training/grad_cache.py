"""One step's gradient: of the global batch's objective, on one worker or many, in one pass or two."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from dalr.data.batches import TextBatch, Views, to_device
from dalr.distributed import first_reason, gather_rows, rank, shard, shard_sizes, sum_over_workers, world_size
from dalr.errors import Failed
from dalr.losses.objective import LossTerms, Objective
from dalr.model.student import Groups, Student
from dalr.training.gradients import Gradients

SAME_PASS = 0.05
"""The relative distance of two passes over the same rows from which on they are not taken for the same."""

Seed = Callable[[int], None]
"""Seeds the generators for part p of a step, so that a second pass drops what the first one dropped."""

Autocast = Callable[[], AbstractContextManager[object]]


def seed_step(seed: int, step: int, part: int) -> None:
    """Seeds torch's generators from (seed, step, worker, part).

    Every step starts from its own seed, so a resumed run draws what an uninterrupted one would have
    drawn, and evaluating in between changes nothing.
    """
    mixed = np.random.SeedSequence([seed, step, rank(), part]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(mixed) >> 1)


def compute_gradients(
    student: Student,
    objective: Objective,
    batch: TextBatch,
    gradients: Gradients,
    *,
    parts: int,
    groups: Groups,
    seed: Seed,
    autocast: Autocast,
    compare_passes: Callable[[], bool] | None = None,
) -> LossTerms:
    """Leaves the gradient of the objective on the global `batch` in `gradients`, the same on every
    worker. Returns the terms, detached.

    Each worker computes its share of the objective's rows against the columns of all, and
    encodes its share of the rows, in `parts` parts, each in `groups` groups of like length or
    packed (`Student.forward`). One part is one plain pass. With more,
    the parts are encoded without gradient first; the objective's gradient with respect to all
    embeddings is taken once; then each part is encoded again, with the same dropout, and that gradient
    is sent through it (GradCache, Gao et al. 2021): the negatives are the whole batch's, the memory
    one part's. `compare_passes`, on all workers or on none, says after a part's second pass whether to compare it
    with its first, which waits for the device.

    Raises:
        Failed: the two passes over a part that was compared, on any worker, differ.
    """
    device = next(student.parameters()).device
    here = shard(len(batch), rank(), world_size())
    ids, mask = to_device(batch.input_ids[here], device), to_device(batch.attention_mask[here], device)
    lengths = batch.lengths[here]
    gradients.zero()
    pieces = _pieces(len(ids), parts)
    sizes = shard_sizes(len(batch), world_size())

    def encode(part: int) -> Views:
        seed(part)
        with autocast():
            piece = pieces[part]
            return _encode(student, ids[piece], mask[piece], lengths[piece], groups)

    # A worker with a row less than others may have one part where they have two. All go the same way, or buckets
    # and gathered gradients would leave them in another order.
    if len(_pieces(max(sizes), parts)) == 1:
        views = encode(0)
        terms = objective(_gathered(views, sizes), batch, here)
        gradients.backward([_for_all(terms)], last=True)
    else:
        with torch.no_grad():
            views = _joined([encode(part) for part in range(len(pieces))])
        views = Views(views.pooled.requires_grad_(), views.projected.requires_grad_())
        terms = objective(_gathered(views, sizes), batch, here)
        gradients.backward([_for_all(terms)], last=False)
        apart: str | None = None
        for part, piece in enumerate(pieces):
            again = encode(part)
            if compare_passes is not None and compare_passes():
                apart = apart or _apart(again.projected, views.projected[piece])
            outputs = [again.pooled, again.projected]
            cached = [_gradient(views.pooled)[piece], _gradient(views.projected)[piece]]
            gradients.backward(outputs, cached, last=part == len(pieces) - 1)
        if compare_passes is not None and (apart := first_reason(apart)) is not None:
            raise Failed(apart)
    gradients.wait()
    return _summed(terms)


def _for_all(terms: LossTerms) -> Tensor:
    """What to send back, so that the mean of the gradients over workers is the gradient of the batch's loss."""
    return terms.total if world_size() == 1 else world_size() * terms.total


def _summed(terms: LossTerms) -> LossTerms:
    """The terms of the batch, detached, from every worker's share of them."""
    shares = torch.stack([terms.total, terms.cross_modal, terms.intra_modal, *terms.terms.values()])
    total, cross_modal, intra_modal, *values = sum_over_workers(shares.detach()).unbind()
    return LossTerms(total, cross_modal, intra_modal, dict(zip(terms.terms, values, strict=True)))


def _apart(again: Tensor, first: Tensor) -> str | None:
    """What is wrong with a second pass that dropped other units than the first: the gradient would be of another
    loss. What is only rounded otherwise is within a hundredth or so, also in bfloat16."""
    with torch.no_grad():
        apart = float((again - first).norm() / first.norm().clamp(min=torch.finfo(first.dtype).tiny))
    if apart <= SAME_PASS:
        return None
    return (
        f"train.compile with train.accumulate > 1: the compiled encoder's pass with gradient is {apart:.0%} off "
        "the one without, so that the gradient would be of another loss; set train.compile to false, or "
        "train.activation_checkpointing in place of train.accumulate"
    )


def _pieces(rows: int, parts: int) -> list[slice]:
    size = max(1, -(-rows // parts))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)] or [slice(0, 0)]


def _encode(student: nn.Module, ids: Tensor, mask: Tensor, lengths: Sequence[int], groups: Groups) -> Views:
    if len(ids):
        return student(ids, mask, groups=groups, lengths=lengths)
    # A worker without rows still takes part: its parameters get gradients of zero.
    width = ids.shape[1]
    views = student(ids.new_zeros((1, width)), mask.new_ones((1, width)), lengths=[width])
    return Views(pooled=views.pooled[:0], projected=views.projected[:0])


def _gathered(views: Views, sizes: Sequence[int]) -> Views:
    return Views(pooled=gather_rows(views.pooled, sizes), projected=gather_rows(views.projected, sizes))


def _joined(views: list[Views]) -> Views:
    return Views(torch.cat([v.pooled for v in views]), torch.cat([v.projected for v in views]))


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
