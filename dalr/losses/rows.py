"""Which rows of a global batch are computed: all, or one worker's share against the columns of all."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Rows `first` to `first + count` of the `total` rows of a batch.

    A loss of rows is its share of the mean over the batch, Σ over these rows / `total`: the shares of all workers
    add up to the loss. A share may be empty.
    """

    first: int
    count: int
    total: int
    device: torch.device

    @classmethod
    def all_of(cls, matrix: Tensor) -> "Rows":
        """Every row of a tensor [..., B, N]."""
        return cls(0, matrix.shape[-2], matrix.shape[-2], matrix.device)

    @property
    def are_all(self) -> bool:
        """Whether no row is left to others."""
        return self.count == self.total

    @property
    def share(self) -> float:
        """The part of all rows that these are."""
        return self.count / self.total

    @cached_property
    def own(self) -> Tensor:
        """int64 [count]: the column in which each row meets its own partner."""
        return torch.arange(self.first, self.first + self.count, device=self.device)

    @cached_property
    def diagonal(self) -> Tensor:
        """bool [count, total]: true there."""
        return self.own[:, None] == torch.arange(self.total, device=self.device)

    def of(self, tensor: Tensor) -> Tensor:
        """These rows of a tensor [total, ...]."""
        return tensor if self.are_all else tensor[self.first : self.first + self.count]

    def mean(self, losses: Tensor) -> Tensor:
        """Their share of the mean over the batch, of their losses [..., count]; over the leading dimensions too."""
        passes = losses.numel() // self.count if self.count else 1
        return losses.sum() / (passes * self.total)
