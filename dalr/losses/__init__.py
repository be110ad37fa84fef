"""The terms of the objective, pure functions of tensors, and `Objective`, which weighs them.

`dalr.losses.terms` declares each term. Names are imported when they are asked for, so that the declarations need no
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalr.losses.alignment import soft_alignment
    from dalr.losses.contrastive import grounding_contrast, info_nce
    from dalr.losses.divergence import jensen_shannon
    from dalr.losses.matching import consistency
    from dalr.losses.objective import LossTerms, Objective
    from dalr.losses.ranking import listmle, listnet
    from dalr.losses.token_contrast import local_global

_HOMES = {
    "LossTerms": "objective",
    "Objective": "objective",
    "consistency": "matching",
    "grounding_contrast": "contrastive",
    "info_nce": "contrastive",
    "jensen_shannon": "divergence",
    "listmle": "ranking",
    "listnet": "ranking",
    "local_global": "token_contrast",
    "soft_alignment": "alignment",
}

__all__ = [
    "LossTerms",
    "Objective",
    "consistency",
    "grounding_contrast",
    "info_nce",
    "jensen_shannon",
    "listmle",
    "listnet",
    "local_global",
    "soft_alignment",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
