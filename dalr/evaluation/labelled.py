"""Reads the labelled examples of transfer tasks; what is not as declared is refused by file and line."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dalr.errors import InputError
from dalr.evaluation.readers import DataFolder, normalised
from dalr.evaluation.tables import named_columns
from dalr.evaluation.tasks import LabelledSource, TransferTask
from dalr.reading import parse_json

Example = tuple[tuple[str, ...], int]
"""One sentence, or two, and a class."""


@dataclass(frozen=True)
class LabelledSplit:
    """A split's n examples in the toolkit's order: sentences (one column, or two for pairs), labels
    int64 [n], and the place of each example in the files, int64 [n]."""

    sentences: tuple[list[str], ...]
    labels: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def read_labelled(folder: DataFolder, task: TransferTask, split: str) -> LabelledSplit:
    """A split's examples, stably sorted by numbers of tokens, then by class: the order decides which
    rows fall into which fold.

    Raises:
        InputError: a file that is missing, cut or damaged, or a class without examples.
    """
    examples: list[Example] = []
    for source in task.splits[split]:
        examples += _examples(folder, task, source)
    labels = {label for _, label in examples}
    where = folder.root / task.splits[split][0].file.path
    if len(labels) < 2:
        raise InputError(f"{where}: every example of {task.name}.{split} has one class; a classifier needs two")
    order = sorted(range(len(examples)), key=lambda i: ([len(s.split()) for s in examples[i][0]], examples[i][1]))
    columns = tuple([examples[i][0][side] for i in order] for side in range(2 if task.pairs else 1))
    chosen = np.array([examples[i][1] for i in order], dtype=np.int64)
    return LabelledSplit(columns, chosen, np.array(order, dtype=np.int64))


def _examples(folder: DataFolder, task: TransferTask, source: LabelledSource) -> list[Example]:
    path = folder.root / source.file.path
    if source.layout == "named":
        rows: Iterable[tuple[int, Any]] = named_columns(folder.lines(source.file), _wanted(task), path)
    else:
        first = 2 if source.layout == "mrpc" else 1  # MRPC's files have a header
        rows = enumerate(folder.lines(source.file)[first - 1 :], first)
    examples = []
    for number, row in rows:
        try:
            sentences, label = READERS[source.layout](row, source)
            if len(sentences) != (2 if task.pairs else 1):
                raise ValueError(f"{len(sentences)} sentences, but {task.name} has {'pairs' if task.pairs else 'one'}")
            examples.append((tuple(map(normalised, sentences)), _class(label, task)))
        except (ValueError, IndexError, KeyError, TypeError) as error:
            expected = EXPECTED[source.layout]
            raise InputError(f"{path}:{number}: {error or 'not an example'}; expected {expected}") from None
    return examples


def _wanted(task: TransferTask) -> tuple[str, ...]:
    return ("sentence1", "sentence2", "label") if task.pairs else ("sentence", "label")


def _class(label: str | int, task: TransferTask) -> int:
    if isinstance(label, int):
        return label
    if label not in task.classes:
        raise ValueError(f"{label!r} is not a class of {task.name} ({', '.join(task.classes)})")
    return task.classes.index(label)


Parsed = tuple[tuple[str, ...], str | int]


def _line(line: str, source: LabelledSource) -> Parsed:
    assert source.label is not None
    return (line,), source.label


def _sst(line: str, source: LabelledSource) -> Parsed:
    sentence, label = _fields(line, 2)
    return (sentence,), label.strip()


def _trec(line: str, source: LabelledSource) -> Parsed:
    coarse, separator, rest = line.strip().partition(":")
    _, space, question = rest.partition(" ")
    if not separator or not space:
        raise ValueError(f"{line[:30]!r} has no label")
    return (question,), coarse


def _mrpc(line: str, source: LabelledSource) -> Parsed:
    label, _, _, first, second = _fields(line, 5)
    return (first, second), label.strip()


def _jsonl(line: str, source: LabelledSource) -> Parsed:
    values = parse_json(line)
    if not isinstance(values, dict):
        raise ValueError("not an object")
    sentences = (values["sentence"],) if "sentence" in values else (values["sentence1"], values["sentence2"])
    if not all(isinstance(sentence, str) for sentence in sentences):
        raise ValueError("a sentence is not a string")
    label = values["label"]
    return sentences, str(label).lower() if isinstance(label, bool) else str(label)


def _named(fields: list[str], source: LabelledSource) -> Parsed:
    return tuple(fields[:-1]), fields[-1].strip()


def _fields(line: str, count: int) -> list[str]:
    fields = line.split("\t")
    if len(fields) != count:
        raise ValueError(f"{len(fields)} tab-separated fields instead of {count}")
    return fields


READERS: dict[str, Callable[[Any, LabelledSource], Parsed]] = {
    "lines": _line,
    "sst": _sst,
    "trec": _trec,
    "mrpc": _mrpc,
    "named": _named,
    "jsonl": _jsonl,
}
"""What makes an example of a line, or of a named table's row of columns."""

EXPECTED = {
    "lines": "one sentence a line",
    "sst": "sentence TAB label",
    "trec": "COARSE:fine question",
    "mrpc": "label TAB id TAB id TAB sentence TAB sentence",
    "named": "one value for each column of the header",
    "jsonl": '{"sentence": …, "label": …}, or sentence1 and sentence2 for pairs',
}
