"""Which steps see pairs, and how many steps an epoch has: arithmetic, no data."""

from dataclasses import dataclass

from dalr.config.schema import DataConfig, Stage, TrainConfig
from dalr.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """Steps 0, n, 2n, ... are paired for `every` = n; every step is for 1, none for None.

    `text_batches` and `paired_batches` are the batches of one pass over the sentences and over the
    pairs. Each stream keeps its own epochs, so one stream may pass more than once in an epoch of the run.
    `whole_epochs`: an epoch of the run is as many steps as both passes have together, also where every
    step is paired, as in the loops of MCSE, KDMCSE and DALR; else only the streams in use count.
    """

    text_batches: int
    paired_batches: int
    every: int | None
    whole_epochs: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch of the run."""
        text = self.uses_text or self.whole_epochs
        return self.text_batches * text + self.paired_batches * self.uses_pairs

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

    def total_steps(self, length: TrainConfig | Stage) -> int:
        """The steps of a run: `steps`, or `epochs` of them."""
        return length.steps if length.steps is not None else self.steps_per_epoch * (length.epochs or 0)

    def total_at(self, step: int, train: TrainConfig) -> int:
        """The steps for which the learning rate of `step`, counted from 0, is computed: those of the run, or, of a
        run that was extended later, those that it had then."""
        return self.total_steps(next((stage for stage in train.stages if step < stage.until), train))

    def earlier_ends(self, train: TrainConfig) -> frozenset[int]:
        """The steps after which a run had ended, and was evaluated, before it was extended."""
        return frozenset(stage.until for stage in train.stages if stage.until == self.total_steps(stage))


def batches_of_pairs(pairs: int, most_of_an_image: int, batch_size: int) -> int:
    """The batches of one pass over `pairs`, none of which may hold an image twice: as many as an image has
    pairs, at least."""
    return max(-(-pairs // batch_size), most_of_an_image if pairs else 0)


def schedule_of(
    data: DataConfig, *, sentences: int, pairs: int, batch_size: int, most_of_an_image: int = 1
) -> Schedule:
    """The schedule for corpora of these sizes (0 for a corpus that is not there).

    Args:
        pairs: what `data.pairs` counts: captions or images.
        most_of_an_image: the most pairs that one image has; 1 where `data.pairs` is image.

    Raises:
        InputError: a stream that `data.pair_every` asks for has no data.
    """
    text, paired = -(-sentences // batch_size), batches_of_pairs(pairs, most_of_an_image, batch_size)
    every = data.pair_every
    if every == "auto":
        if not pairs:
            raise InputError("data.pair_every is auto, but data.captions is not set; set it, or pair_every to null")
        every = max(1, text // paired)
    if every != 1 and not sentences:
        raise InputError(f"data.pair_every is {every}, but data.text is not set; set it, or pair_every to 1")
    if every is not None and not pairs:
        raise InputError(f"data.pair_every is {every}, but data.captions is not set; set it, or pair_every to null")
    return Schedule(text, paired, every, whole_epochs=data.pair_every == "auto")
