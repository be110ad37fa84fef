"""Batches ahead of the step that needs them."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dalr.data.batches import PairedBatch, TextBatch, with_tensors
from dalr.data.features.token_states import TokenInputs, TokenStates
from dalr.data.mixing import MixedBatches
from dalr.distributed import rank, shard, world_size

AHEAD = 2
"""Batches that are built or being built before the step that needs them begins."""


@dataclass(frozen=True)
class HostBatch:
    """A global batch on the host, in pinned memory where it goes to a GPU; and what this worker's share of the
    teachers' token states is made of, None where the batch needs none."""

    batch: TextBatch
    tokens: TokenInputs | None = None


class BatchLoader:
    """Builds the batches of the next steps in a thread, in order, while the current step runs.

    A batch is a function of the seed and the step, so that this changes when it is built and nothing else. The
    thread ends with `close`.
    """

    def __init__(self, batches: MixedBatches, states: TokenStates | None, device: torch.device) -> None:
        self.device = device
        self._batches = batches
        self._states = states
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._next: deque[tuple[int, Future[HostBatch]]] = deque()

    def get(self, step: int) -> HostBatch:
        """The batch of a step, counted from 0; raises what building it raised. The next ones are built from then
        on, those after the run's last step never."""
        if not self._next or self._next[0][0] != step:
            self._drop()
            self._submit(step)
        _, batch = self._next.popleft()
        last = self._next[-1][0] if self._next else step
        for following in range(last + 1, min(step + AHEAD, self._batches.total_steps - 1) + 1):
            self._submit(following)
        return batch.result()

    def close(self) -> None:
        """Ends the thread, after the batch that it is building."""
        self._drop()
        self._thread.shutdown(wait=True)

    def _drop(self) -> None:
        for _, batch in self._next:
            batch.cancel()
        self._next.clear()

    def _submit(self, step: int) -> None:
        self._next.append((step, self._thread.submit(self._built, step)))

    def _built(self, step: int) -> HostBatch:
        batch = self._batches.batch(step)
        corpus = "captions" if isinstance(batch, PairedBatch) else "text"
        tokens = None
        if self._states is not None and corpus in self._states.corpora:
            tokens = self._states.inputs(batch, shard(len(batch), rank(), world_size()), self.device)
        built = HostBatch(batch, tokens)
        return built if self.device.type != "cuda" else pinned(built, self.device)


def pinned(batch: HostBatch, device: torch.device) -> HostBatch:
    """The batch in memory from which `device` copies without the host: a thread says for itself which GPU is its."""

    def pin(tensor: Tensor) -> Tensor:
        return tensor.pin_memory()

    with torch.cuda.device(device):
        tokens = batch.tokens
        if tokens is not None:
            stored = None if tokens.stored is None else pin(tokens.stored)
            tokens = replace(tokens, input_ids=pin(tokens.input_ids), stored=stored)
        return HostBatch(with_tensors(batch.batch, pin), tokens)
