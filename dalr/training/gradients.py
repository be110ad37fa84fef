"""The gradient of a run's parameters: over several workers in flat buffers, which are summed while the backward pass
goes on."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dalr.distributed import world_size

BUCKET_BYTES = 25 * 2**20
"""A bucket is full at this size: enough for a network's bandwidth, and the first one leaves early."""
ALIGNMENT = 128
"""Bytes of which the place of each gradient in its bucket is a multiple, as for memory of its own."""


class Gradients:
    """The gradients of parameters, the mean over workers.

    With one worker, autograd's own. With several, `grad` is a view into a flat buffer, a bucket, that lives as long
    as this object. Buckets hold the parameters in reverse order, about the order in which a backward pass reaches
    them, and are cut in the same way in every step and every process: a sum over workers is rounded by its place in
    the buffer, so a resumed run adds as an uninterrupted one does.

        gradients.zero()
        gradients.backward([first], last=False)
        gradients.backward([loss], last=True)      # sends bucket after bucket
        gradients.wait()

    Args:
        parameters: those that require a gradient are taken, each once. Their order must be the same on every worker.
        bucket_bytes: see `BUCKET_BYTES`; a larger parameter has a bucket of its own.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], bucket_bytes: int | None = None) -> None:
        self.parameters = list(dict.fromkeys(p for p in parameters if p.requires_grad))
        members = _cut(self.parameters[::-1], bucket_bytes or BUCKET_BYTES) if world_size() > 1 else []
        self._bucket_of = {p: number for number, bucket in enumerate(members) for p in bucket}
        self._views: dict[nn.Parameter, Tensor] = {}
        flats = []
        for bucket in members:
            flat, views = _flat(bucket)
            flats.append(flat)
            self._views |= zip(bucket, views, strict=True)
        self._queue = _Queue(flats)
        for number, parameter in enumerate(self._bucket_of):
            hook = partial(self._queue.on_gradient, number, self._bucket_of[parameter])
            parameter.register_post_accumulate_grad_hook(hook)

    def zero(self) -> None:
        """Forgets the gradients of the step before."""
        for parameter in self.parameters:
            parameter.grad = self._views.get(parameter)
        self._queue.clear()

    def backward(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor] | None = None, *, last: bool) -> None:
        """Adds the gradient of `outputs`, as `torch.autograd.backward` does. In the `last` call of a step each bucket
        is sent when its gradients are complete, bucket k after bucket k − 1 on every worker."""
        if last and self._bucket_of:
            waiting = [0] * len(self._queue.flats)
            reached = _reached(outputs)
            for parameter, bucket in self._bucket_of.items():
                waiting[bucket] += parameter in reached
            self._queue.open(waiting)
        torch.autograd.backward(outputs, gradients)
        if last:
            self._queue.send_the_rest()

    def wait(self) -> None:
        """Waits for the sums, on a GPU in its stream, and divides them. A parameter that no backward pass of this
        step reached has no gradient: the optimizer leaves it and its moments alone."""
        self._queue.wait()
        for number, parameter in enumerate(self._bucket_of):
            if number not in self._queue.arrived:
                parameter.grad = None


class _Queue:
    """The buckets on their way. A collective has no name by which workers could match it, so the order is all."""

    def __init__(self, flats: Sequence[Tensor]) -> None:
        self.flats = flats
        self.arrived: set[int] = set()
        self._waiting: list[int] | None = None
        self._sent: list[dist.Work] = []

    def clear(self) -> None:
        self.arrived.clear()
        for flat in self.flats:
            flat.zero_()

    def open(self, waiting: list[int]) -> None:
        """From now on buckets are sent; `waiting`: how many gradients of each are still to be accumulated."""
        self._waiting = waiting
        self._send_complete()

    def on_gradient(self, number: int, bucket: int, parameter: Tensor) -> None:
        """The hook of a parameter, the `number`th: its gradient has been accumulated in `bucket`."""
        self.arrived.add(number)
        if self._waiting is not None:
            self._waiting[bucket] -= 1
            self._send_complete()

    def send_the_rest(self) -> None:
        """Sends what autograd left without a gradient after all."""
        self._waiting = [0] * len(self.flats)
        self._send_complete()
        self._waiting = None

    def wait(self) -> None:
        sent, self._sent = self._sent, []
        for work, flat in zip(sent, self.flats, strict=True):
            work.wait()
            flat /= world_size()

    def _send_complete(self) -> None:
        assert self._waiting is not None
        while len(self._sent) < len(self.flats) and self._waiting[len(self._sent)] == 0:
            self._sent.append(dist.all_reduce(self.flats[len(self._sent)], async_op=True))


def _cut(parameters: Sequence[nn.Parameter], bucket_bytes: int) -> list[list[nn.Parameter]]:
    """The parameters one after the other, cut where a bucket would be too large, or of two kinds of tensors."""
    buckets: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        last = buckets[-1][-1] if buckets else None
        size += parameter.nbytes
        if last is None or size > bucket_bytes or (last.dtype, last.device) != (parameter.dtype, parameter.device):
            buckets.append([])
            size = parameter.nbytes
        buckets[-1].append(parameter)
    return buckets


def _flat(bucket: Sequence[nn.Parameter]) -> tuple[Tensor, list[Tensor]]:
    """A buffer of zeros for the gradients of a bucket, and the part of each parameter."""
    step = ALIGNMENT // bucket[0].element_size()
    sizes = [-(-parameter.numel() // step) * step for parameter in bucket]
    flat = torch.zeros(sum(sizes), dtype=bucket[0].dtype, device=bucket[0].device)
    parts = flat.split(sizes)
    return flat, [part[: p.numel()].view(p.shape) for part, p in zip(parts, bucket, strict=True)]


def _reached(outputs: Sequence[Tensor]) -> set[Tensor]:
    """The leaves that a backward pass from `outputs` accumulates a gradient in."""
    nodes = [output.grad_fn for output in outputs]
    seen, leaves = set(nodes), set[Tensor]()
    while nodes:
        node = nodes.pop()
        if node is None:
            continue
        if (leaf := getattr(node, "variable", None)) is not None:
            leaves.add(leaf)
        following = {following for following, _ in node.next_functions} - seen
        seen |= following
        nodes.extend(following)
    return leaves
