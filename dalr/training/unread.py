"""The numbers of steps whose kernels may not have run yet: kept on the device, read many at once."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dalr.losses.objective import LossTerms


@dataclass(frozen=True)
class StepNumbers:
    """What one optimizer step leaves to be read.

    `step` counts from 1. `numbers`: float32 on the device, the loss, the norm of its gradient, and the terms
    that `names` names. `known`: what the host knows without asking. `seconds`: of the host, within the step.
    """

    step: int
    names: tuple[str, ...]
    numbers: Tensor
    known: Mapping[str, float]
    samples: int
    seconds: float


@dataclass(frozen=True)
class Line:
    """A step's line of metrics.jsonl."""

    step: int
    metrics: dict[str, float]


@dataclass
class Unread:
    """The steps since the last read, oldest first."""

    steps: list[StepNumbers] = field(default_factory=list)

    def add(
        self, step: int, terms: LossTerms, norm: Tensor, *, known: Mapping[str, float], samples: int, seconds: float
    ) -> None:
        """Keeps a step's numbers (see `StepNumbers`); asks the device for nothing."""
        numbers = torch.stack([terms.total, norm, *terms.terms.values()])
        self.steps.append(StepNumbers(step, tuple(terms.terms), numbers, known, samples, seconds))

    def read(self) -> list[Line]:
        """The lines of all steps, and none are left. Waits for the device once. A step's `seconds` are the mean
        over the steps read, since the device works through them while the host runs ahead."""
        steps, self.steps = self.steps, []
        if not steps:
            return []
        began = time.perf_counter()
        values = iter(torch.cat([step.numbers for step in steps]).tolist())
        seconds = (sum(step.seconds for step in steps) + time.perf_counter() - began) / len(steps)
        lines = []
        for step in steps:
            loss, norm = next(values), next(values)
            terms = {f"term/{name}": next(values) for name in step.names}
            timing = {"seconds": seconds, "samples_per_second": step.samples / seconds}
            lines.append(Line(step.step, {"loss": loss, **terms, **step.known, "grad_norm": norm, **timing}))
        return lines
