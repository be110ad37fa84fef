"""The 14 tasks as declarations: their files, rows, splits, metric and citation. Nothing is read here.

Paths are relative to the data folder (the one that holds `downstream/`). Rows count text lines, a
header included, as SentEval's own script leaves the files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dalr.errors import InputError
from dalr.results import STS, TRANSFER

Encoding = Literal["utf-8", "utf-8-sig", "latin-1"]


@dataclass(frozen=True)
class FileExpectation:
    """One file of a task: its path, the official number of text lines (None: not known), its encoding."""

    path: str
    rows: int | None
    encoding: Encoding = "utf-8"


@dataclass(frozen=True)
class Columns:
    """Where a tab-separated table keeps a pair and its score, counted from 0."""

    first: int
    second: int
    score: int
    width: int | None = None
    header: bool = False
    quotes_stand_alone: bool = False
    """The official text is tokenised, so a quotation mark inside a word is damage."""


@dataclass(frozen=True)
class PairSource:
    """One list of scored pairs: a table with a score column, or two parallel files. `layout` `named` is a
    table with the columns sentence1, sentence2 and score.

    `gold` is the parallel file of scores, one a line; `blanks` says that an empty line there drops
    the pair, and `scored` how many pairs the official file keeps.
    """

    name: str
    text: FileExpectation
    gold: FileExpectation | None = None
    columns: Columns = Columns(0, 1, 2)
    layout: Literal["table", "named", "jsonl"] = "table"
    blanks: bool = False
    scored: int | None = None


@dataclass(frozen=True)
class StsTask:
    """Semantic textual similarity: Spearman x 100 of the cosine over all pairs of a split together.

    `subsets` is true where the split's sources are subsets with scores of their own; their pairs are
    sorted by (tokens of the first, tokens of the second, gold), as the original toolkit does.
    """

    name: str
    splits: dict[str, tuple[PairSource, ...]]
    scale: tuple[float, float]
    citation: str
    subsets: bool = False


Layout = Literal["lines", "sst", "trec", "mrpc", "named", "jsonl"]


@dataclass(frozen=True)
class LabelledSource:
    """One file of labelled examples. `label` is the class of every line where the file has one class."""

    file: FileExpectation
    layout: Layout
    label: int | None = None


@dataclass(frozen=True)
class TransferTask:
    """Classification of frozen embeddings by SentEval's logistic regression.

    `scheme` is how its splits are used: `nested` (cross-validation inside cross-validation over the
    one split `all`), `kfold` (cross-validation on `train`, then `test`) or `split` (`train`, `dev`,
    `test`). `pairs`: an example is two sentences, with features [|u-v|, u*v]. `f1`: report F1 too.
    """

    name: str
    scheme: Literal["nested", "kfold", "split"]
    splits: dict[str, tuple[LabelledSource, ...]]
    classes: tuple[str, ...]
    citation: str
    pairs: bool = False
    f1: bool = False


Task = StsTask | TransferTask

OWN = "custom"
"""The group of the user's own tasks, where they are named beside the benchmark's."""


def _sts(year: int, citation: str, rows: dict[str, int], scored: dict[str, int] | None = None) -> StsTask:
    folder = f"downstream/STS/STS{year}-en-test"
    sources = tuple(
        PairSource(
            name,
            text=FileExpectation(f"{folder}/STS.input.{name}.txt", lines),
            gold=FileExpectation(f"{folder}/STS.gs.{name}.txt", lines),
            blanks=scored is not None,
            scored=scored[name] if scored else None,
        )
        for name, lines in rows.items()
    )
    return StsTask(f"STS{year}", {"test": sources}, (0.0, 5.0), citation, subsets=True)


def _tables(folder: str, files: dict[str, tuple[str, int]], columns: Columns) -> dict[str, tuple[PairSource, ...]]:
    return {
        split: (PairSource(split, FileExpectation(f"downstream/{folder}/{name}", rows), columns=columns),)
        for split, (name, rows) in files.items()
    }


def _polarity(task: str, files: dict[str, tuple[int, int]], citation: str, classes: tuple[str, str]) -> TransferTask:
    """A task of two files, each all of one class; `files` maps a name to (label, rows)."""
    sources = tuple(
        LabelledSource(FileExpectation(f"downstream/{task}/{name}", rows, "latin-1"), "lines", label)
        for name, (label, rows) in files.items()
    )
    return TransferTask(task, "nested", {"all": sources}, classes, citation)


def _labelled(
    folder: str, layout: Layout, encoding: Encoding, files: dict[str, tuple[str, int]]
) -> dict[str, tuple[LabelledSource, ...]]:
    return {
        split: (LabelledSource(FileExpectation(f"downstream/{folder}/{name}", rows, encoding), layout),)
        for split, (name, rows) in files.items()
    }


STANDARD: dict[str, Task] = {
    task.name: task
    for task in (
        _sts(
            12,
            "Agirre et al., SemEval 2012",
            {"MSRpar": 750, "MSRvid": 750, "SMTeuroparl": 459, "surprise.OnWN": 750, "surprise.SMTnews": 399},
        ),
        # SMT is left out of STS13, as in SentEval: its licence forbids spreading it.
        _sts(13, "Agirre et al., *SEM 2013", {"FNWN": 189, "headlines": 750, "OnWN": 561}),
        _sts(
            14,
            "Agirre et al., SemEval 2014",
            {"deft-forum": 450, "deft-news": 300, "headlines": 750, "images": 750, "OnWN": 750, "tweet-news": 750},
        ),
        _sts(
            15,
            "Agirre et al., SemEval 2015",
            {"answers-forums": 2000, "answers-students": 1500, "belief": 2000, "headlines": 1500, "images": 1500},
            {"answers-forums": 375, "answers-students": 750, "belief": 375, "headlines": 750, "images": 750},
        ),
        _sts(
            16,
            "Agirre et al., SemEval 2016",
            {
                "answer-answer": 1572,
                "headlines": 1498,
                "plagiarism": 1271,
                "postediting": 3287,
                "question-question": 1555,
            },
            {"answer-answer": 254, "headlines": 249, "plagiarism": 230, "postediting": 244, "question-question": 209},
        ),
        StsTask(
            "STSBenchmark",
            _tables(
                "STS/STSBenchmark",
                {"train": ("sts-train.csv", 5749), "dev": ("sts-dev.csv", 1500), "test": ("sts-test.csv", 1379)},
                Columns(5, 6, 4, width=7, quotes_stand_alone=True),
            ),
            (0.0, 5.0),
            "Cer et al., SemEval 2017",
        ),
        StsTask(
            "SICKRelatedness",
            _tables(
                "SICK",
                {
                    "train": ("SICK_train.txt", 4501),
                    "dev": ("SICK_trial.txt", 501),
                    "test": ("SICK_test_annotated.txt", 4928),
                },
                Columns(1, 2, 3, width=5, header=True),
            ),
            (1.0, 5.0),
            "Marelli et al., LREC 2014",
        ),
        _polarity(
            "MR",
            {"rt-polarity.pos": (1, 5331), "rt-polarity.neg": (0, 5331)},
            "Pang and Lee, ACL 2005",
            ("negative", "positive"),
        ),
        _polarity(
            "CR",
            {"custrev.pos": (1, 2407), "custrev.neg": (0, 1368)},
            "Hu and Liu, KDD 2004",
            ("negative", "positive"),
        ),
        _polarity(
            "SUBJ",
            {"subj.objective": (1, 5000), "subj.subjective": (0, 5000)},
            "Pang and Lee, ACL 2004",
            ("subjective", "objective"),
        ),
        _polarity(
            "MPQA",
            {"mpqa.pos": (1, 3312), "mpqa.neg": (0, 7294)},
            "Wiebe et al., LRE 2005",
            ("negative", "positive"),
        ),
        TransferTask(
            "SST2",
            "split",
            _labelled(
                "SST/binary",
                "sst",
                "utf-8",
                {"train": ("sentiment-train", 67349), "dev": ("sentiment-dev", 872), "test": ("sentiment-test", 1821)},
            ),
            ("0", "1"),
            "Socher et al., EMNLP 2013",
        ),
        TransferTask(
            "TREC",
            "kfold",
            _labelled("TREC", "trec", "latin-1", {"train": ("train_5500.label", 5452), "test": ("TREC_10.label", 500)}),
            ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"),
            "Li and Roth, COLING 2002",
        ),
        TransferTask(
            "MRPC",
            "kfold",
            _labelled(
                "MRPC",
                "mrpc",
                "utf-8-sig",
                {"train": ("msr_paraphrase_train.txt", 4077), "test": ("msr_paraphrase_test.txt", 1726)},
            ),
            ("0", "1"),
            "Dolan et al., COLING 2004",
            pairs=True,
            f1=True,
        ),
    )
}
"""The benchmark's tasks by name. Adding one is one declaration here and its name in `dalr.results`."""

assert set(STANDARD) == set(STS + TRANSFER), "every task of dalr.results is declared"


def find_task(name: str, custom: Iterable[Task] = ()) -> Task:
    """The declaration of a task by name, the user's own ones included.

    Raises:
        InputError: no such task.
    """
    known = STANDARD | {task.name: task for task in custom}
    if name not in known:
        raise InputError(f"unknown task {name!r}; known: {', '.join(known)}")
    return known[name]


def files_of(task: Task, splits: Iterable[str] | None = None) -> list[FileExpectation]:
    """The files of a task, or of some of its splits."""
    files: list[FileExpectation] = []
    for split in task.splits if splits is None else splits:
        for source in task.splits[split]:
            if isinstance(source, PairSource):
                files += [source.text] + ([source.gold] if source.gold else [])
            else:
                files.append(source.file)
    return files


def expected_files(tasks: Iterable[str] | None = None) -> list[FileExpectation]:
    """Every file that the named tasks (default: all 14) read, with its official row count."""
    names = STS + TRANSFER if tasks is None else tuple(tasks)
    return [file for name in names for file in files_of(find_task(name))]


def parse_metric(metric: str, custom: Sequence[Task] = (), what: str = "metric") -> tuple[str, str]:
    """`"STSBenchmark.dev"` → `("STSBenchmark", "dev")`; a task of the user's own likewise. `what` is the setting that
    an error names.

    Raises:
        InputError: not TASK.SPLIT, no such task, or a split that the task has not.
    """
    name, separator, split = metric.rpartition(".")
    if not separator:
        raise InputError(f"{what} {metric!r}: expected TASK.SPLIT, for example STSBenchmark.dev")
    task = find_task(name, custom)
    splits = tuple(task.splits) if isinstance(task, StsTask) else ("dev", "test")
    if split not in splits:
        raise InputError(f"{what} {metric!r}: {name} has no split {split!r}; it has: {', '.join(splits)}")
    return name, split
