"""The benchmark of the field: 7 STS and 7 transfer tasks, with the original toolkit's answers.

Names are imported when they are asked for, so that the declarations and readers need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dalr.evaluation.encoder import SentenceEncoder
    from dalr.evaluation.metric import MetricScorer, dev_score
    from dalr.evaluation.run import evaluate

_HOMES = {
    "MetricScorer": "dalr.evaluation.metric",
    "SentenceEncoder": "dalr.evaluation.encoder",
    "dev_score": "dalr.evaluation.metric",
    "evaluate": "dalr.evaluation.run",
}

__all__ = ["MetricScorer", "SentenceEncoder", "dev_score", "evaluate"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
