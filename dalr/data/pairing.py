"""The order of the pairs in an epoch: every caption once, or one caption of each image; no image twice in a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

CAPTION = 2
"""The stream of random numbers that draws an image's caption, apart from those of the orders."""
TRIES = 64
"""Random exchanges tried for one pair before the whole epoch is dealt out instead."""

Rows = NDArray[np.int64]


class PairOrder(Protocol):
    """The pairs of one kind, cut into batches."""

    @property
    def starts(self) -> Rows:
        """[batches + 1]: batch k of an epoch is rows `starts[k]` to `starts[k + 1]` of its order."""
        ...

    def order(self, seed: Sequence[int]) -> Rows:
        """Rows of the captions for one epoch, a function of the seed."""
        ...


@dataclass(frozen=True)
class _ImagePairs:
    """One caption of each image, drawn anew each epoch (MCSE)."""

    by_image: Rows
    first: Rows
    counts: Rows
    starts: Rows

    def order(self, seed: Sequence[int]) -> Rows:
        images = np.random.default_rng(seed).permutation(len(self.counts))
        base, _, epoch = seed
        draws = np.random.default_rng([base, CAPTION, epoch]).random(len(self.counts))
        chosen: Rows = self.by_image[self.first + (draws * self.counts).astype(np.int64)]
        return chosen[images]


@dataclass(frozen=True)
class _CaptionPairs:
    """Every caption once an epoch (KDMCSE, DALR), in an order in which no batch has an image twice."""

    images: Rows
    starts: Rows

    def order(self, seed: Sequence[int]) -> Rows:
        random = np.random.default_rng(seed)
        order: Rows = random.permutation(len(self.images))
        return order if self._exchanged(order, random) else self._dealt(random)

    def _exchanged(self, order: Rows, random: np.random.Generator) -> bool:
        """Exchanges, in place, each pair whose image is in its batch already with a random pair of another batch.
        Few are to be moved where batches are small beside the corpus; False where one finds no place."""
        batch_of = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        for place in self._repeated(order, batch_of).tolist():
            for other in random.integers(len(order), size=TRIES).tolist():
                here, there = batch_of[place], batch_of[other]
                if (
                    here != there
                    and self.images[order[place]] not in self._images_of(order, there)
                    and self.images[order[other]] not in self._images_of(order, here)
                ):
                    order[place], order[other] = order[other], order[place]
                    break
            else:
                return False
        return True

    def _repeated(self, order: Rows, batch_of: Rows) -> Rows:
        """The places of pairs whose image stands earlier in the same batch."""
        keys = batch_of * (int(self.images.max()) + 1) + self.images[order]
        first = np.unique(keys, return_index=True)[1]
        repeated = np.ones(len(order), dtype=bool)
        repeated[first] = False
        return np.flatnonzero(repeated)

    def _images_of(self, order: Rows, batch: int) -> Rows:
        return self.images[order[self.starts[batch] : self.starts[batch + 1]]]

    def _dealt(self, random: np.random.Generator) -> Rows:
        """The pairs dealt out to the batches like cards, image by image in random order: an image's pairs follow each
        other, so they go to different batches."""
        sizes = np.diff(self.starts)
        seats = [np.flatnonzero(sizes > row) for row in range(int(sizes.max()))]
        batch = np.concatenate(seats)
        rank = random.permutation(int(self.images.max()) + 1)
        by_image = np.lexsort((random.random(len(self.images)), rank[self.images]))
        dealt: Rows = by_image[np.argsort(batch, kind="stable")]
        return dealt


def image_pairs(image_of_caption: Rows, batch_size: int, batches: int) -> PairOrder:
    """Pairs of `data.pairs` = image. `image_of_caption` [captions] numbers the images from 0, each with a caption."""
    counts = np.bincount(image_of_caption)
    by_image = np.argsort(image_of_caption, kind="stable")
    return _ImagePairs(by_image, np.cumsum(counts) - counts, counts, _starts(len(counts), batch_size, batches, most=1))


def caption_pairs(image_of_caption: Rows, batch_size: int, batches: int) -> PairOrder:
    """Pairs of `data.pairs` = caption; `batches` is at least the captions of any image."""
    most = int(np.bincount(image_of_caption).max())
    return _CaptionPairs(image_of_caption, _starts(len(image_of_caption), batch_size, batches, most=most))


def _starts(items: int, batch_size: int, batches: int, *, most: int) -> Rows:
    """Where the batches begin: full ones and a last one with what is left; batches of like size where an image has a
    pair in every one of them, which would not fit into a smaller last one."""
    if items <= (batches - 1) * batch_size or (most >= batches and items % batch_size):
        sizes = [items // batches + (batch < items % batches) for batch in range(batches)]
        return np.cumsum([0, *sizes])
    return np.minimum(np.arange(batches + 1) * batch_size, items)
