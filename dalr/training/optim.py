"""The optimizer and its learning rate."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dalr.config.schema import OptimConfig


def make_optimizer(modules: Iterable[nn.Module], config: OptimConfig) -> torch.optim.AdamW:
    """Fused AdamW over every trainable parameter; biases and normalisation weights (one dimension) are not
    decayed."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.999), eps=config.eps, fused=True)


def learning_rate_at(step: int, total: int, config: OptimConfig) -> float:
    """The rate of optimizer step `step` (from 0) of `total`: a linear warm-up over `warmup_steps`, then
    the schedule down to 0 after the last step (`constant`: no decay). A function of the step alone,
    so that there is no scheduler state to save."""
    if step < config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, total - config.warmup_steps)
    factor = {"linear": 1.0 - progress, "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)), "constant": 1.0}
    return config.learning_rate * max(0.0, factor[config.schedule])


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def step_unless(optimizer: torch.optim.AdamW, skip: Tensor) -> None:
    """One step of a fused AdamW; where `skip` (bool [], on the parameters' device) is true, its kernel leaves
    parameters, moments and step counts as they are. The host does not learn which it was."""
    # The door by which torch.amp.GradScaler has the fused kernel skip a step.
    optimizer.found_inf = skip.float()  # type: ignore[attr-defined]
    optimizer.step()
