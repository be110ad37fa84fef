"""The batches of a run: text and paired ones interleaved, each a pure function of the seed and the step."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dalr.config.schema import RunConfig
from dalr.data.batches import PairedBatch, TeacherTargets, TextBatch, rounded_up
from dalr.data.features.prepare import Features
from dalr.data.pairing import PairOrder, caption_pairs, image_pairs
from dalr.data.rows import Rows

TEXT, PAIRED = 0, 1


@dataclass(frozen=True)
class _Epoch:
    """The order of one stream in one of its epochs."""

    number: int
    order: NDArray[np.int64]


class MixedBatches:
    """The global batches of a run. `batch(step)` does not depend on the batches asked for before, so a
    run's position is its step number, and resuming is asking for the next one.

    The text stream permutes the sentences in each of its epochs. The paired stream permutes the captions,
    or the images with one caption of each (`data.pairs`); no image is twice in a batch. An epoch's last
    batch has what is left. `Schedule` says where the two streams go, and how long an epoch of the run is.

    Sentences are padded to a multiple of `shape_step` tokens, the model's `max_tokens` at most.
    """

    def __init__(self, config: RunConfig, features: Features, *, shape_step: int = 1) -> None:
        self.shape_step = shape_step
        self.features = features
        self.schedule = features.schedule
        self.seed = config.train.seed
        self.batch_size = config.train.batch_size
        self.train = config.train
        self.length = config.model.max_tokens if config.objective.token_norm == "token_padded" else None
        self._epochs: dict[int, _Epoch] = {}
        self._pairs: PairOrder | None = None
        if features.captions is not None:
            make = image_pairs if config.data.pairs == "image" else caption_pairs
            images = features.captions.image_of_caption
            self._pairs = make(images, self.batch_size, self.schedule.paired_batches)

    @property
    def steps_per_epoch(self) -> int:
        """The steps of one epoch of the run."""
        return self.schedule.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """The steps of the run."""
        return self.schedule.total_steps(self.train)

    def is_paired(self, step: int) -> bool:
        """Whether the step's batch has pairs."""
        return self.schedule.is_paired(step)

    def batch(self, step: int) -> TextBatch | PairedBatch:
        """The global batch of a step, counted from 0; on the CPU. Its teacher targets have no token
        states: training asks `Features.token_states` for those of its own share."""
        return self._paired(step) if self.is_paired(step) else self._text(step)

    def _text(self, step: int) -> TextBatch:
        items = len(self.features.tokens["text"])
        epoch, place = divmod(self.schedule.position(step), self.schedule.text_batches)
        order = self._order(TEXT, epoch, lambda: self._random(TEXT, epoch).permutation(items))
        rows = order[place * self.batch_size : (place + 1) * self.batch_size].copy()
        ids, mask, lengths = self._tokens("text", rows)
        return TextBatch(torch.from_numpy(rows), ids, mask, self._targets("text", rows), lengths=lengths)

    def _paired(self, step: int) -> PairedBatch:
        features, pairs = self.features, self._pairs
        assert features.captions is not None  # the schedule has pairs
        assert pairs is not None
        epoch, place = divmod(self.schedule.position(step), self.schedule.paired_batches)
        order = self._order(PAIRED, epoch, lambda: pairs.order([self.seed, PAIRED, epoch]))
        rows = order[pairs.starts[place] : pairs.starts[place + 1]].copy()
        ids, mask, lengths = self._tokens("captions", rows)
        return PairedBatch(
            torch.from_numpy(rows),
            ids,
            mask,
            self._targets("captions", rows),
            images=_tensor(features.images, features.captions.image_of_caption[rows]),
            captions=_tensor(features.caption_features, rows),
            lengths=lengths,
        )

    def _tokens(self, corpus: str, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Ids and mask, int64 [B, L], and the lengths of a batch's sentences."""
        tokens = self.features.tokens[corpus]
        lengths = tokens.lengths(rows)
        length = self.length or rounded_up(int(lengths.max()), self.shape_step, tokens.max_tokens)
        return *tokens.padded(rows, length), tuple(lengths.tolist())

    def _random(self, stream: int, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, epoch])

    def _order(self, stream: int, epoch: int, make: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
        """The corpus rows of one epoch of a stream; the last epoch asked for is kept."""
        kept = self._epochs.get(stream)
        if kept is None or kept.number != epoch:
            kept = self._epochs[stream] = _Epoch(epoch, make())
        return kept.order

    def _targets(self, corpus: str, rows: NDArray[np.int64]) -> TeacherTargets:
        arrays = self.features.sentence_vectors.get(corpus, ())
        return TeacherTargets(sentences=tuple(torch.from_numpy(array.rows(rows)).float() for array in arrays))


def _tensor(array: Rows | None, index: NDArray[np.int64]) -> Tensor | None:
    return None if array is None else torch.from_numpy(array.rows(index).astype(np.float32))
