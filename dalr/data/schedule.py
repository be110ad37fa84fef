"""Which steps see pairs, and how many steps an epoch has: arithmetic, no data."""

from dataclasses import dataclass

from dalr.config.schema import DataConfig, TrainConfig
from dalr.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """Steps 0, n, 2n, ... are paired for `every` = n; every step is for 1, none for None.

    `text_batches` and `paired_batches` are the batches of one pass over the sentences and over the
    images. An epoch of a run is as many steps as both passes have together, as in MCSE, KDMCSE and
    DALR; where only one stream is used, as many as its pass has. Each stream keeps its own epochs, so
    with another `every` than the default one stream may pass more than once in an epoch of the run.
    """

    text_batches: int
    paired_batches: int
    every: int | None

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch of the run."""
        return self.text_batches * self.uses_text + self.paired_batches * self.uses_pairs

    @property
    def uses_text(self) -> bool:
        """Whether any step is a text step."""
        return self.every != 1

    @property
    def uses_pairs(self) -> bool:
        """Whether any step is a paired step."""
        return self.every is not None

    def is_paired(self, step: int) -> bool:
        """Whether a step, counted from 0, sees pairs."""
        return self.every is not None and step % self.every == 0

    def position(self, step: int) -> int:
        """How many batches of its own stream came before this step."""
        if self.every is None:
            return step
        if self.is_paired(step):
            return step // self.every
        return step - step // self.every - 1

    def total_steps(self, train: TrainConfig) -> int:
        """The steps of a run: `train.steps`, or `train.epochs` of them."""
        return train.steps if train.steps is not None else self.steps_per_epoch * (train.epochs or 0)


def schedule_of(data: DataConfig, *, sentences: int, images: int, batch_size: int) -> Schedule:
    """The schedule for corpora of these sizes (0 for a corpus that is not there).

    Raises:
        InputError: a stream that `data.pair_every` asks for has no data.
    """
    text, paired = -(-sentences // batch_size), -(-images // batch_size)
    every = data.pair_every
    if every == "auto":
        if not images:
            raise InputError("data.pair_every is auto, but data.captions is not set; set it, or pair_every to null")
        every = max(1, text // paired)
    if every != 1 and not sentences:
        raise InputError(f"data.pair_every is {every}, but data.text is not set; set it, or pair_every to 1")
    if every is not None and not images:
        raise InputError(f"data.pair_every is {every}, but data.captions is not set; set it, or pair_every to null")
    return Schedule(text, paired, every)
