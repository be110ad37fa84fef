"""One score of one split, for training and searching: `STSBenchmark.dev` and its like."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dalr.errors import InputError
from dalr.evaluation import sts, transfer
from dalr.evaluation.readers import DataFolder, read_split
from dalr.evaluation.sts import score_sts
from dalr.evaluation.tasks import STANDARD, StsTask, Task, TransferTask, find_task, parse_metric
from dalr.evaluation.transfer import read_splits, score_transfer
from dalr.evaluation.vectors import Encode, EncodedSentences
from dalr.results import Protocol


class MetricScorer:
    """A metric on a data folder (None: a metric of the user's own tasks, `custom`); the split's files are
    read and checked once, when it is made. `sentences` are all those that it encodes, repetitions included.

    Raises:
        InputError: an unknown metric, or data that is missing or damaged.
    """

    def __init__(self, data: str | Path | None, metric: str, custom: Sequence[Task] = ()) -> None:
        name, split = parse_metric(metric, custom)
        if data is None and name in STANDARD:
            raise InputError(f"metric {metric}: {name} is read from a SentEval folder, but evaluation.data is not set")
        self.metric = metric
        folder, task = DataFolder.open(data), find_task(name, custom)
        if isinstance(task, StsTask):
            self._score, self.sentences = _sts_scorer(folder, task, split)
        else:
            self._score, self.sentences = _transfer_scorer(folder, task, "dev" if split == "dev" else "test")

    def score(self, encode: Encode) -> float:
        """0 to 100 (an anticorrelated encoder is below 0). Transfer tasks: accuracy under protocol `dev`
        for the split `dev`, under `test` for `test`."""
        return self._score(encode)


def _sts_scorer(folder: DataFolder, task: StsTask, split: str) -> tuple[Callable[[Encode], float], list[str]]:
    subsets = read_split(folder, task, split)

    def score(encode: Encode) -> float:
        return score_sts(task, split, subsets, EncodedSentences(encode)).score.score

    return score, sts.sentences_of(subsets)


def _transfer_scorer(
    folder: DataFolder, task: TransferTask, protocol: Protocol
) -> tuple[Callable[[Encode], float], list[str]]:
    splits = read_splits(folder, task, protocol)

    def score(encode: Encode) -> float:
        return score_transfer(task, splits, EncodedSentences(encode), protocol).score.score

    return score, transfer.sentences_of(splits)


def dev_score(encode: Encode, data: str | Path | None, metric: str, custom: Sequence[Task] = ()) -> float:
    """The metric of one encoder, 0 to 100. Use `MetricScorer` where it is scored more than once."""
    return MetricScorer(data, metric, custom).score(encode)
