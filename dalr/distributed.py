"""Collectives over the workers of one run; the identity where there is one worker or no process group.

Tensors of the step travel in the default group. What controls the run (who goes on, who failed, what worker 0 says)
travels in a gloo group of its own: it waits for no GPU, and for as long as worker 0 works, which may be longer than
the default group's timeout.
"""

import socket
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from dalr.errors import Failed, InputError

Value = TypeVar("Value")

CONTROL_TIMEOUT = timedelta(days=1)
"""A worker that dies breaks its connections, which the others notice at once: this ends a wait for one that hangs."""
_control: tuple[Any, Any] | None = None
"""The default group, and the control group that was made beside it."""


def _control_group() -> Any:
    """The gloo group for what controls the run; all workers make it together, at their first use of it."""
    global _control
    if _control is None or _control[0] is not dist.group.WORLD:
        _control = (dist.group.WORLD, dist.new_group(backend="gloo", timeout=CONTROL_TIMEOUT))
    return _control[1]


def rank() -> int:
    """This worker's number, 0 without a process group."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """The number of workers, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def barrier() -> None:
    """Waits until every worker is here."""
    if world_size() > 1:  # a broadcast would hold back all but its source
        _all_reduced(1, dist.ReduceOp.SUM)


def broadcast(value: Value) -> Value:
    """Worker 0's value, on every worker. The value is small and plain: numbers, text, None."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, group=_control_group())
    return box[0]


def run_on_rank0(work: Callable[[], Value]) -> Value:
    """Worker 0 works while the others wait. All get what it returns, small and plain; or raise what it
    raises of InputError, Failed and OSError, so that no worker is left waiting for another."""
    if world_size() == 1:
        return work()
    answer: tuple[Value | None, Exception | None] = (None, None)
    if rank() == 0:
        try:
            answer = (work(), None)
        except (InputError, Failed, OSError) as error:
            answer = (None, error)
    value, failure = broadcast(answer)
    if failure is not None:
        raise failure
    return value  # type: ignore[return-value]  # None is what `work` returned


def run_on_all_ranks(work: Callable[[], Value]) -> Value:
    """Every worker works, and has what its own work returns. What the first of them that fails raises of
    InputError, Failed and OSError, all raise, so that no worker is left waiting for another."""
    if world_size() == 1:
        return work()
    value: Value | None = None
    failure: Exception | None = None
    try:
        value = work()
    except (InputError, Failed, OSError) as error:
        failure = error
        if rank() > 0 and not isinstance(error, OSError):  # other files may lie on another machine
            error.args = (f"{error} (worker {rank()}, on {socket.gethostname()})",)
    first = _first_of_all(failure)
    if first is not None:
        raise first
    return value  # type: ignore[return-value]  # None is what `work` returned


def first_reason(reason: str | None) -> str | None:
    """The reason of the first worker that has one, on every worker; None where none has."""
    return _first_of_all(reason)


def _first_of_all(value: Value | None) -> Value | None:
    """What the first worker has that has anything, on every worker."""
    if world_size() == 1:
        return value
    # One number, as often as every step; the value itself travels only when there is one.
    first = _all_reduced(world_size() if value is None else rank(), dist.ReduceOp.MIN)
    if first == world_size():
        return None
    box = [value]
    dist.broadcast_object_list(box, src=first, group=_control_group())
    return box[0]


def shard(n: int, rank: int, world_size: int) -> slice:
    """The rows of n that worker `rank` encodes: contiguous, in order of rank, the first n mod W workers
    with one more. Some workers have none where n < W."""
    size, longer = divmod(n, world_size)
    start = rank * size + min(rank, longer)
    return slice(start, start + size + (rank < longer))


def shard_sizes(n: int, world_size: int) -> list[int]:
    """The number of rows of each worker's `shard`, in order of rank."""
    return [len(range(n)[shard(n, worker, world_size)]) for worker in range(world_size)]


def gather_rows(tensor: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """The rows of all workers, in order of rank, as a differentiable function of this worker's rows.

    Every worker is meant to compute from the result the same loss L, or W times its share of L, and the encoder's
    gradients to be averaged over W workers. The backward pass therefore sums the incoming gradients over workers
    (each is dL/d rows, the sum W times that) and takes this worker's rows: its encoder then holds W
    times its own share of the gradient, and the average over workers is the sum of shares, exactly
    the gradient of one process with the whole batch.

    Args:
        tensor: [b, ...], this worker's rows; b may differ between workers and may be 0.
        sizes: b of every worker, in order of rank. None asks the workers, one small collective more.

    Returns:
        [Σ b, ...], the same on every worker.
    """
    if world_size() == 1:
        return tensor
    return _GatherRows.apply(tensor, _agreed_sizes(tensor, sizes))


def gather_constant(tensor: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """As `gather_rows` without a gradient, for tensors of any dtype, bool included."""
    tensor = tensor.detach()
    if world_size() == 1:
        return tensor
    if tensor.dtype == torch.bool:  # gloo cannot send it
        return gather_constant(tensor.to(torch.uint8), sizes).bool()
    return _all_gather(tensor, _agreed_sizes(tensor, sizes))


def sum_over_workers(tensor: Tensor) -> Tensor:
    """The sum of every worker's tensor, without a gradient; `tensor` is changed."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: list[int]) -> Tensor:
        ctx.start, ctx.size = sum(sizes[: rank()]), len(tensor)
        return _all_gather(tensor, sizes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.size], None


def _all_reduced(number: int, operation: Any) -> int:
    """One number of every worker, reduced."""
    value = torch.tensor(number)
    dist.all_reduce(value, op=operation, group=_control_group())
    return int(value)


def _agreed_sizes(tensor: Tensor, sizes: Sequence[int] | None) -> list[int]:
    """The row counts of all workers."""
    if sizes is None:
        own = torch.tensor([len(tensor)], device=tensor.device)
        parts = [torch.empty_like(own) for _ in range(world_size())]
        dist.all_gather(parts, own)
        return [int(part) for part in parts]
    if len(sizes) != world_size() or sizes[rank()] != len(tensor):
        raise ValueError(f"worker {rank()} of {world_size()} has {len(tensor)} rows, but sizes are {list(sizes)}")
    return list(sizes)


def _all_gather(tensor: Tensor, sizes: list[int]) -> Tensor:
    """All rows; shorter parts travel padded, because a collective's parts must have one shape."""
    if not any(sizes):
        return tensor.detach()
    padded = tensor.new_zeros(max(sizes), *tensor.shape[1:])
    padded[: len(tensor)] = tensor.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
