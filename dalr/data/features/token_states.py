"""The teachers' token states of a batch, which `local_global` compares sentences with.

They are large, so they are computed online unless they were cached on request. Either way training
calls the same module: it holds no trainable parameter, stays in eval mode, and must not be made part
of the student (nor of its checkpoints).

    states = features.token_states.to(device)
    tokens, mask = states(batch, slice(start, stop), device)    # this worker's share of the batch
    # gather over workers: every share is padded to the same M, that of the global batch
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dalr.data.batches import PairedBatch, TextBatch, rounded_up, shape_step, to_device
from dalr.data.corpora.tokens import TokenisedCorpus
from dalr.data.features.text import token_rows
from dalr.data.store import StoredArray
from dalr.model.teachers import TextTeacherEncoder


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
        """The states and the mask of the batch's rows in `part`, on `device`, where the module is too.
        `batch.rows` is on the CPU."""
        device = torch.device(device)
        name = "captions" if isinstance(batch, PairedBatch) else "text"
        corpus = self.corpora[name]
        rows = batch.rows.numpy()
        longest = int(corpus.lengths(rows).max())
        length = corpus.max_tokens if self.to_max else rounded_up(longest, shape_step(device), corpus.max_tokens)
        if not len(rows[part]):  # a worker without a share of a small batch
            shape = (0, length - 1)
            return torch.zeros(*shape, self.width, device=device), torch.zeros(*shape, dtype=torch.bool, device=device)
        ids, mask = corpus.padded(rows[part], length)
        tokens = self.states(name, rows[part], to_device(ids, device), to_device(mask, device))
        return tokens.float(), to_device(mask[:, 1:].bool(), device)

    def narrow(self) -> None:
        """Prepares for being called inside autocast to bfloat16 alone."""

    def states(self, name: str, rows: NDArray[np.int64], input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The mixed states [b, L - 1, T] of sentences that are L tokens long with padding, on the device of the ids."""
        raise NotImplementedError


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

    def states(self, name: str, rows: NDArray[np.int64], input_ids: Tensor, attention_mask: Tensor) -> Tensor:
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

    def states(self, name: str, rows: NDArray[np.int64], input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """See `TokenStates`."""
        length = input_ids.shape[1] - 1
        mixed = [
            weight * token_rows(array, self.corpora[name], rows, length)
            for weight, array in zip(self.weights, self.arrays[name], strict=True)
        ]
        return to_device(torch.stack(mixed).sum(0), input_ids.device)
