"""The device of a worker: what it asked for, no more and no less."""

import os
from collections.abc import Callable

import torch

from dalr.cluster.preflight.memory import CUDA_CONTEXT
from dalr.errors import Failed


def claim_device(gpus: float, of_ray: Callable[[], torch.device] = lambda: torch.device("cuda", 0)) -> torch.device:
    """The device of this process, which has `gpus` GPUs by Ray's count. Without any, CUDA is hidden from all that
    follows, or every worker of a machine would open a context on its first card. With a part of one, that part
    is all of the card's memory that this process takes. `of_ray` says which of the visible cards is this worker's.

    Raises:
        Failed: there is a GPU, but CUDA does not start.
    """
    if gpus <= 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return torch.device("cpu")
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # a driver that is too old, a build without CUDA, no card
        raise Failed(
            f"this worker was given {gpus:g} GPU, but CUDA does not start here: {' '.join(str(error).split())[:300]}; "
            "update the node's driver, or train with gpus=0"
        ) from error
    device = of_ray()
    if gpus < 1:
        # Beside what torch allocates lies CUDA's context: shares that left it out would be more than the card.
        context = CUDA_CONTEXT / torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(max(gpus - context, 0.01), device)
    return device
