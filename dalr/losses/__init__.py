"""The terms of the objective, pure functions of tensors; `dalr.losses.objective` weighs them."""

from dalr.losses.alignment import soft_alignment
from dalr.losses.consistency import consistency
from dalr.losses.contrastive import grounding_contrast, info_nce
from dalr.losses.divergence import jensen_shannon
from dalr.losses.local_global import local_global
from dalr.losses.ranking import listmle, listnet

__all__ = [
    "consistency",
    "grounding_contrast",
    "info_nce",
    "jensen_shannon",
    "listmle",
    "listnet",
    "local_global",
    "soft_alignment",
]
