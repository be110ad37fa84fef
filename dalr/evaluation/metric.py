"""One score of one split, for training and searching: `STSBenchmark.dev` and its like."""

from pathlib import Path

from dalr.errors import InputError
from dalr.evaluation.readers import DataFolder
from dalr.evaluation.sts import SplitScorer, find_sts
from dalr.evaluation.vectors import Encode


def parse_metric(metric: str) -> tuple[str, str]:
    """`"STSBenchmark.dev"` → `("STSBenchmark", "dev")`.

    Raises:
        InputError: not TASK.SPLIT, no such task, or a split that the task has not.
    """
    name, separator, split = metric.rpartition(".")
    if not separator:
        raise InputError(f"metric {metric!r}: expected TASK.SPLIT, for example STSBenchmark.dev")
    task = find_sts(name)
    splits = tuple(task.splits) if task is not None else ("dev", "test")
    if split not in splits:
        raise InputError(f"metric {metric!r}: {name} has no split {split!r}; it has: {', '.join(splits)}")
    return name, split


class MetricScorer:
    """A metric on a data folder; the split's files are read and checked once, when it is made.

    Raises:
        InputError: an unknown metric, or data that is missing or damaged.
    """

    def __init__(self, data: str | Path, metric: str) -> None:
        name, split = parse_metric(metric)
        self.metric = metric
        task = find_sts(name)
        if task is None:
            raise InputError(f"metric {metric!r}: only STS tasks can be scored while training")
        self._scorer = SplitScorer(DataFolder.open(data), task, split)

    def score(self, encode: Encode) -> float:
        """0 to 100 (an anticorrelated encoder is below 0)."""
        return self._scorer(encode)


def dev_score(encode: Encode, data: str | Path, metric: str) -> float:
    """The metric of one encoder, 0 to 100. Use `MetricScorer` where it is scored more than once."""
    return MetricScorer(data, metric).score(encode)
