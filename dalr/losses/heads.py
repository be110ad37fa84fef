"""The small trained heads between the encoders' vectors and the cross-modal terms."""

from torch import Tensor, nn
from torch.nn import functional as F


class GroundingHead(nn.Sequential):
    """G: Linear + tanh, [B, width] → [B, projection_dim], in (−1, 1)."""

    def __init__(self, width: int, projection_dim: int) -> None:
        super().__init__(nn.Linear(width, projection_dim), nn.Tanh())


class BatchNorm(nn.BatchNorm1d):
    """Batch norm over [B, width]; a batch of one row has no variance and is normalised, as in
    evaluation, with the running statistics, which it leaves as they are."""

    def forward(self, rows: Tensor) -> Tensor:
        if self.training and len(rows) == 1:
            return F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(rows)


class Aligner(nn.Sequential):
    """A: Linear, batch norm, ReLU, Linear, batch norm, ReLU, [B, width] → [B, projection_dim], ≥ 0.

    The hidden layer is as wide as the input.
    """

    def __init__(self, width: int, projection_dim: int) -> None:
        super().__init__(
            nn.Linear(width, width),
            BatchNorm(width),
            nn.ReLU(),
            nn.Linear(width, projection_dim),
            BatchNorm(projection_dim),
            nn.ReLU(),
        )


class LinearMap(nn.Module):
    """A learned linear map W from one space to another; the identity where both are equally wide."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.linear = None if source == target else nn.Linear(source, target, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        """[B, source] → [B, target]: x Wᵀ."""
        return rows if self.linear is None else self.linear(rows)

    def transposed(self, rows: Tensor) -> Tensor:
        """[B, target] → [B, source]: y W, so that y · (W x) = (y W) · x for every x of the source space."""
        return rows if self.linear is None else rows @ self.linear.weight
