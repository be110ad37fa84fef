"""The result record: the scores of one model under one protocol, as one JSON file.

Here are its schema, its validation, its reading and writing, and the names, groups and column order
of the tasks. Nothing here needs torch, so that reports can read results without it.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dalr.errors import InputError
from dalr.files import atomic_write, write_json
from dalr.reading import parse_json
from dalr.validation import problems

SCHEMA = 1

STS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICKRelatedness")
TRANSFER = ("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC")
GROUPS: dict[str, tuple[str, ...]] = {"sts": STS, "transfer": TRANSFER, "all": STS + TRANSFER}
"""The groups of tasks, each in the order in which a paper prints its columns."""

MTEB = "MTEB."
"""The names of MTEB's tasks begin so in a result: its STSBenchmark is other text than SentEval's."""

RETRIEVAL = "Retrieval"
"""The task of image-text retrieval."""

Protocol = Literal["test", "fast", "dev"]


class Record(BaseModel):
    """The base of every part of a result: an unknown key is an error, as is NaN or infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Interval(Record):
    """A bootstrap confidence interval of a score, in the score's unit."""

    low: float
    high: float
    level: float = Field(gt=0, lt=1)


class SubsetScore(Record):
    """Correlations (fractions, -1 to 1) of one subset of an STS task, over `n` pairs."""

    n: int = Field(ge=0)
    spearman: float = Field(ge=-1, le=1)
    pearson: float = Field(ge=-1, le=1)


class Recall(Record):
    """One direction of retrieval: the share of queries (percent) whose best right answer is among the
    first 1, 5 and 10, and the median of its rank (from 1)."""

    r1: float = Field(ge=0, le=100)
    r5: float = Field(ge=0, le=100)
    r10: float = Field(ge=0, le=100)
    median_rank: float = Field(ge=1)


class Retrieval(Record):
    """Both directions over `images` and their `captions`: over all of them, or the mean over `folds` equal
    parts."""

    images: int = Field(ge=1)
    captions: int = Field(ge=1)
    folds: int = Field(default=1, ge=1)
    image_to_text: Recall
    text_to_image: Recall


class TaskScore(Record):
    """One task. `score` is what a paper prints, 0 to 100: Spearman x 100 for STS, accuracy for
    transfer (the dev score under protocol `dev`).

    STS tasks have `spearman` and `pearson` (fractions) and, where the task has subsets, `subsets`
    with `mean` and `weighted_mean` of their Spearman; transfer tasks have `acc` and `devacc`
    (percent), MRPC also `f1` (percent). Retrieval has `retrieval`, and for its score the mean of the six
    recalls. `n` counts the scored pairs, examples or captions, of MTEB's tasks the texts that were encoded.
    """

    score: float = Field(ge=-100, le=100)
    n: int = Field(ge=1)
    split: str = "test"
    spearman: float | None = Field(default=None, ge=-1, le=1)
    pearson: float | None = Field(default=None, ge=-1, le=1)
    mean: float | None = Field(default=None, ge=-1, le=1)
    weighted_mean: float | None = Field(default=None, ge=-1, le=1)
    subsets: dict[str, SubsetScore] | None = None
    acc: float | None = Field(default=None, ge=0, le=100)
    devacc: float | None = Field(default=None, ge=0, le=100)
    f1: float | None = Field(default=None, ge=0, le=100)
    retrieval: Retrieval | None = None
    interval: Interval | None = None
    seconds: float = Field(default=0.0, ge=0)


class Geometry(Record):
    """One published variant of alignment or uniformity; `reason` says why `value` is null."""

    value: float | None
    reason: str | None = None
    tasks: dict[str, float | None] = {}


class TaskRecord(Record):
    """One task's part of a result, as it is kept beside the result file as soon as it is done.

    `alignment` and `uniformity` map a variant's name to the task's value (null: see `reasons`).
    """

    task: str
    protocol: Protocol
    fingerprint: str | None = None
    score: TaskScore
    data: dict[str, str] = {}
    official_data: bool = True
    alignment: dict[str, float | None] = {}
    uniformity: dict[str, float | None] = {}
    reasons: dict[str, str] = {}


@dataclass(frozen=True)
class TaskDetails:
    """A task's record and what its score is made of.

    STS: `similarities` and `gold`, float64 [n], of the task's pairs in one fixed order. Transfer:
    `correct`, bool [n], in the order of the task's files (absent under protocol `dev`).
    """

    record: TaskRecord
    similarities: np.ndarray | None = None
    gold: np.ndarray | None = None
    correct: np.ndarray | None = None


class Provenance(Record):
    """What is behind a result.

    `imports` maps the modules of the user's own that were imported to their sha256.
    `data` maps each file read (relative to the data folder; the user's own absolute) to its sha256.
    `official_data` says that the benchmark's tasks, of which there are some, have the official row counts;
    it is false where a `manifest.json` stood in for them.
    """

    code_version: str
    packages: dict[str, str] = {}
    imports: dict[str, str] = {}
    config_fingerprint: str | None = None
    model_fingerprint: str | None = None
    recipe: str | None = None
    seed: int | None = None
    step: int | None = None
    data: dict[str, str] = {}
    official_data: bool = True
    created: str | None = None


class Result(Record):
    """The scores of one model under one evaluation protocol."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    model: str
    pooler: str | None = None
    protocol: Protocol
    provenance: Provenance
    tasks: dict[str, TaskScore] = {}
    sts_avg: float | None = None
    transfer_avg: float | None = None
    alignment: dict[str, Geometry] = {}
    uniformity: dict[str, Geometry] = {}
    seconds: float = Field(default=0.0, ge=0)

    @property
    def scores(self) -> dict[str, float]:
        """Each task's score, 0 to 100."""
        return {name: task.score for name, task in self.tasks.items()}

    def __repr__(self) -> str:
        averages = {"STS avg": self.sts_avg, "transfer avg": self.transfer_avg}
        named = [*self.scores.items(), *((name, value) for name, value in averages.items() if value is not None)]
        scores = ", ".join(f"{name} {value:.2f}" for name, value in named)
        return f"Result({self.model!r}, protocol {self.protocol}: {scores})"

    __str__ = __repr__

    def with_averages(self) -> "Result":
        """The same result with `sts_avg` and `transfer_avg` from unrounded scores; null unless every
        task of the group is there."""
        return self.model_copy(update={"sts_avg": self._mean(STS), "transfer_avg": self._mean(TRANSFER)})

    def _mean(self, names: tuple[str, ...]) -> float | None:
        if any(name not in self.tasks for name in names):
            return None
        return fmean(self.tasks[name].score for name in names)

    def write(self, path: Path) -> None:
        """Writes the JSON atomically."""
        write_json(Path(path), self.model_dump())


def read_result(path: Path) -> Result:
    """A validated result.

    Raises:
        InputError: not JSON, not a result, or of a newer schema; the message names the file.
    """
    try:
        values: Any = parse_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(values, dict) or "schema" not in values or "tasks" not in values:
        raise InputError(f"{path}: not a result (it has no `schema` and `tasks`)")
    if isinstance(values["schema"], int) and values["schema"] > SCHEMA:
        raise InputError(f"{path}: schema {values['schema']} is newer than this version reads ({SCHEMA}); update dalr")
    try:
        return Result.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: not a valid result: {problems(error)}") from error


def details_file(result: Path, task: str) -> Path:
    """Where a task's details are kept: `x.details/STS12.npz` beside `x.json`."""
    result = Path(result)
    return result.with_name(f"{result.stem}.details") / f"{task}.npz"


def write_details(result: Path, details: TaskDetails) -> None:
    """Writes a task's details beside the result file, atomically."""
    arrays = {name: getattr(details, name) for name in ("similarities", "gold", "correct")}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    record = np.frombuffer(details.record.model_dump_json().encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, record=record, **arrays)
    with atomic_write(details_file(result, details.record.task)) as aside:
        aside.write_bytes(buffer.getvalue())


def read_details(result: Path, task: str) -> TaskDetails | None:
    """A task's details; None where the result has none.

    Raises:
        InputError: a file that is damaged.
    """
    path = details_file(result, task)
    if not path.is_file():
        return None
    try:
        # numpy leaves a damaged file open that it has opened itself.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        record = TaskRecord.model_validate_json(arrays.pop("record").tobytes())
        return TaskDetails(record, **arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not readable details of a result; delete it and evaluate again") from error
