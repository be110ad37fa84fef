"""The teachers' token states of a batch, for the terms that read them (`local_global`).

They are large, so they are computed online unless they were cached on request. Either way training
calls the same module: it holds no trainable parameter, stays in eval mode, and must not be made part
of the student (nor of its checkpoints).

    states = features.token_states.to(device)
    inputs = states.inputs(batch, slice(start, stop), device)   # this worker's share of the batch, on the host
    tokens, mask = states.states(inputs, device)
    # gather over workers: every share is padded to the same M, that of the global batch
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dalr.data.batches import PairedBatch, TextBatch, rounded_up, shape_step, to_device
from dalr.data.corpora.tokens import TokenisedCorpus
from dalr.data.features.text import token_rows
from dalr.data.store import StoredArray
from dalr.model.teachers import TextTeacherEncoder


@dataclass(frozen=True)
class TokenInputs:
    """What the token states of b sentences are made of, on the host.

    `input_ids` and `attention_mask`: int64 [b, M + 1], under the teachers' tokenizer. `stored`: the mixed states
    themselves, float32 [b, M, T], where they were cached; zeros after a sentence's end.
    """

    input_ids: Tensor
    attention_mask: Tensor
    stored: Tensor | None = None


class TokenStates(nn.Module):
    """Token states without [CLS], mixed over teachers of one tokenizer and one width.

    Calling it gives float32 [b, M, T], not normalised, and bool [b, M], true for the sentence's tokens
    ([SEP] among them, as published); T is `width`. M is that of the whole batch: one less than its longest sentence
    under the teachers' tokenizer, or than `max_tokens` where the padding takes part in the norm.
    """

    width: int

    def __init__(
        self, corpora: Mapping[str, TokenisedCorpus], weights: Sequence[float], width: int, *, to_max: bool
    ) -> None:
        super().__init__()
        self.corpora = dict(corpora)
        self.width = width
        total = sum(weights)
        self.weights = tuple(weight / total for weight in weights)
        self.to_max = to_max

    def forward(
        self, batch: TextBatch, part: slice = slice(None), device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """The states and the mask of the batch's rows in `part`, on `device`, where the module is too."""
        return self.states(self.inputs(batch, part, device), device)

    def inputs(self, batch: TextBatch, part: slice, device: torch.device | str) -> TokenInputs:
        """What the states of the batch's rows in `part` are made of, padded as `device` wants it. `batch.rows` is
        on the CPU; nothing here touches the device."""
        name = "captions" if isinstance(batch, PairedBatch) else "text"
        corpus, rows = self.corpora[name], batch.rows.numpy()
        longest, step = int(corpus.lengths(rows).max()), shape_step(torch.device(device))
        length = corpus.max_tokens if self.to_max else rounded_up(longest, step, corpus.max_tokens)
        if not len(rows[part]):  # a worker without a share of a small batch
            nothing = torch.zeros(0, length, dtype=torch.int64)
            return TokenInputs(nothing, nothing)
        return TokenInputs(*corpus.padded(rows[part], length), self.stored(name, rows[part], length - 1))

    def states(self, inputs: TokenInputs, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """The states and the mask of what `inputs` made, on `device`."""
        device = torch.device(device)
        ids, mask = inputs.input_ids, inputs.attention_mask
        if not len(ids):
            shape = (0, ids.shape[1] - 1)
            return torch.zeros(*shape, self.width, device=device), torch.zeros(*shape, dtype=torch.bool, device=device)
        if inputs.stored is not None:
            tokens = to_device(inputs.stored, device)
        else:
            tokens = self.computed(to_device(ids, device), to_device(mask, device))
        return tokens.float(), to_device(mask[:, 1:].bool(), device)

    def stored(self, name: str, rows: NDArray[np.int64], length: int) -> Tensor | None:
        """The mixed states [b, length, T] of a corpus' sentences, from the store; None where they are not there."""
        return None

    def computed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The mixed states [b, L - 1, T] of sentences of L tokens, padding included, on the device of the ids."""
        raise NotImplementedError

    def narrow(self) -> None:
        """Prepares for being called inside autocast to bfloat16 alone."""


class OnlineTokenStates(TokenStates):
    """Runs the frozen teachers on the batch, on the device that the module was moved to."""

    def __init__(
        self,
        teachers: Sequence[TextTeacherEncoder],
        corpora: Mapping[str, TokenisedCorpus],
        weights: Sequence[float],
        *,
        to_max: bool,
    ) -> None:
        super().__init__(corpora, weights, teachers[0].width, to_max=to_max)
        self.teachers = nn.ModuleList(teachers)

    def narrow(self) -> None:
        """See `TextTeacherEncoder.narrow`."""
        for teacher in self.teachers:
            teacher.narrow()  # type: ignore[operator]

    def computed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """See `TokenStates`."""
        mixed = [
            weight * teacher.tokens(input_ids, attention_mask)  # type: ignore[operator]
            for weight, teacher in zip(self.weights, self.teachers, strict=True)
        ]
        return torch.stack(mixed).sum(0)


class CachedTokenStates(TokenStates):
    """Reads the states from the store; zeros after a sentence's end."""

    def __init__(
        self,
        arrays: Mapping[str, Sequence[StoredArray]],
        corpora: Mapping[str, TokenisedCorpus],
        weights: Sequence[float],
    ) -> None:
        super().__init__(corpora, weights, next(iter(arrays.values()))[0].shape[1], to_max=False)
        self.arrays = dict(arrays)

    def stored(self, name: str, rows: NDArray[np.int64], length: int) -> Tensor:
        """See `TokenStates`."""
        mixed = [
            weight * token_rows(array, self.corpora[name], rows, length)
            for weight, array in zip(self.weights, self.arrays[name], strict=True)
        ]
        return torch.stack(mixed).sum(0)
