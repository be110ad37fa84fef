"""`evaluate`: one model, some tasks, one protocol. Each task stands alone: `score_task` makes its
record, and `merge` makes a result of records, wherever they were made."""

import datetime
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dalr.errors import InputError, argument
from dalr.evaluation import sts, transfer
from dalr.evaluation.alignment_uniformity import TaskGeometry, geometry_of, merged
from dalr.evaluation.cache import VectorCache
from dalr.evaluation.mteb_tasks import mteb_tasks, record_name, score_mteb
from dalr.evaluation.plan import plan, splits_read
from dalr.evaluation.readers import DataFolder, read_split
from dalr.evaluation.reuse import done_before, mteb_done_before, others_done_before
from dalr.evaluation.sts import score_sts
from dalr.evaluation.tasks import STANDARD, StsTask, Task, TransferTask, files_of
from dalr.evaluation.transfer import read_splits, score_transfer
from dalr.evaluation.vectors import Encode, EncodedSentences
from dalr.extensions import checksums
from dalr.files import refuse_folder, writable_folder
from dalr.progress import bar
from dalr.provenance import code_version, package_versions
from dalr.results import (
    Interval,
    Protocol,
    Provenance,
    Result,
    TaskDetails,
    TaskRecord,
    TaskScore,
    write_details,
)
from dalr.statistics import ConfidenceInterval, mean_interval, spearman_interval

if TYPE_CHECKING:
    from mteb import AbsTask

PROTOCOLS = ("test", "fast", "dev")

Work = tuple[str, TaskRecord | None, Callable[[], TaskDetails]]
"""A task's name, its record where it was scored before, and how to score it."""


def evaluate(
    encode: Encode,
    data: str | Path | None,
    tasks: str | Sequence[str] = ("sts",),
    protocol: Protocol = "test",
    *,
    model: str = "",
    pooler: str | None = None,
    fingerprint: str | None = None,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    custom: Sequence[Task] = (),
    mteb: "Sequence[str | AbsTask]" = (),
    provenance: Provenance | None = None,
    device: str = "cpu",
    quiet: bool = True,
) -> Result:
    """Scores an encoder, any function from n sentences to an array [n, D].

    `data` is a SentEval folder, `tasks` names of tasks and groups (`sts`, `transfer`, `all`), `custom`
    the user's own tasks, which are scored too, `mteb` tasks of MTEB, by name or as its objects; for
    these two alone `data` is None. `fingerprint` identifies the encoder: with it and `out`, a task that
    was done before with the same data and protocol is not done again, and stays in the result; without
    it nothing is reused. `out` is the result's JSON file; each task's details are written beside it as
    soon as the task is done, so an interruption loses the task in hand. `cache` is a folder for vectors.
    `provenance` says more of the model (recipe, config, seed, step).
    `device` is where the classifiers train.

    Raises:
        InputError: an unknown task, missing or damaged data, or an encoder that returns no vectors.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    if cache is not None and fingerprint is None:
        raise InputError(f"{argument('cache')}: a cache of vectors needs the encoder's fingerprint")
    started = time.perf_counter()
    folder = DataFolder.open(data)
    chosen = _checked_tasks(folder, tasks, protocol, custom, mteb)
    of_mteb = mteb_tasks(mteb) if mteb else []
    if out is not None:
        out = Path(out)
        refuse_folder(out, argument("out"))
        writable_folder(out.parent, argument("out"))
    kept = VectorCache(Path(cache), fingerprint) if cache is not None and fingerprint is not None else None
    vectors = EncodedSentences(encode, kept)
    work: list[Work] = []
    for task in chosen:
        score = partial(score_task, task, folder, vectors, protocol, fingerprint=fingerprint, device=device)
        work.append((task.name, done_before(out, task, folder, protocol, fingerprint), score))
    for foreign in of_mteb:
        score = partial(score_mteb, foreign, encode, protocol, fingerprint=fingerprint)
        work.append((record_name(foreign), mteb_done_before(out, foreign, protocol, fingerprint), score))
    records = _scored(work, out, quiet=quiet)
    records += others_done_before(out, records, folder, protocol, fingerprint, custom)
    result = merge(records, model=model, pooler=pooler, protocol=protocol, provenance=provenance)
    result = result.model_copy(update={"seconds": time.perf_counter() - started})
    if out is not None:
        result.write(out)
    return result


def _scored(work: Sequence[Work], out: Path | None, *, quiet: bool) -> list[TaskRecord]:
    """Scores what was not scored before, writing each task's details as soon as they are there."""
    records = []
    with bar(quiet=quiet) as display:
        progress = display.add_task("evaluating", total=len(work), note="")
        for name, before, score in work:
            display.update(progress, note=name)
            if before is None:
                details = score()
                if out is not None:
                    write_details(out, details)
                before = details.record
            records.append(before)
            display.advance(progress)
    return records


def _checked_tasks(
    folder: DataFolder,
    tasks: str | Sequence[str],
    protocol: Protocol,
    custom: Sequence[Task],
    mteb: "Sequence[str | AbsTask]",
) -> list[Task]:
    """The benchmark's and the user's tasks that are named, all of which can be scored."""
    chosen = plan(tasks, protocol, custom)
    if not chosen and not mteb:
        raise InputError(f"{argument('tasks')}: none is named")
    if mteb and protocol == "dev":
        raise InputError(
            f"{argument('mteb')}: its tasks are scored on their test splits, which protocol dev does not read"
        )
    official = [task.name for task in chosen if task.name in STANDARD]
    if official and not folder.given:
        raise InputError(
            f"{argument('data')}: {', '.join(official)} are read from a SentEval folder; only your own tasks need none"
        )
    return chosen


def shares(tasks: Sequence[Task], folder: DataFolder, protocol: Protocol) -> list[list[str]]:
    """What each task adds to the sentences of those before it, distinct, in the order in which
    `evaluate` would encode it.

    A vector's last digits depend on the batch it was made in. Whoever encodes whole shares by
    `EncodedSentences.add`, on whatever machines, gets the vectors that one process gets.
    """
    seen: set[str] = set()
    added = []
    for task in tasks:
        if isinstance(task, StsTask):
            sentences = sts.sentences_of(read_split(folder, task, *splits_read(task, protocol)))
        else:
            sentences = transfer.sentences_of(read_splits(folder, task, protocol))
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in seen]
        seen.update(new)
        added.append(new)
    return added


def score_task(
    task: Task,
    folder: DataFolder,
    vectors: EncodedSentences,
    protocol: Protocol,
    *,
    fingerprint: str | None = None,
    device: str = "cpu",
) -> TaskDetails:
    """Reads, encodes and scores one task."""
    started = time.perf_counter()
    if isinstance(task, StsTask):
        scored = _score_sts(task, folder, vectors, protocol)
    else:
        scored = _score_transfer(task, folder, vectors, protocol, device)
    files = files_of(task, splits_read(task, protocol))
    record = TaskRecord(
        task=task.name,
        protocol=protocol,
        fingerprint=fingerprint,
        score=scored.score.model_copy(update={"seconds": round(time.perf_counter() - started, 3)}),
        data=folder.digest(files),
        official_data=task.name in STANDARD and folder.is_official(files),
        alignment=scored.shape.alignment,
        uniformity=scored.shape.uniformity,
        reasons=scored.shape.reasons,
    )
    return TaskDetails(record, scored.similarities, scored.gold, scored.correct)


@dataclass(frozen=True)
class _Scored:
    score: TaskScore
    shape: TaskGeometry = field(default_factory=TaskGeometry)
    similarities: np.ndarray | None = None
    gold: np.ndarray | None = None
    correct: np.ndarray | None = None


def _score_sts(task: StsTask, folder: DataFolder, vectors: EncodedSentences, protocol: Protocol) -> _Scored:
    (split,) = splits_read(task, protocol)
    subsets = read_split(folder, task, split)
    scored = score_sts(task, split, subsets, vectors)
    score = _with_interval(scored.score, spearman_interval(scored.similarities, scored.gold))
    return _Scored(score, geometry_of(task.name, subsets, vectors), scored.similarities, scored.gold)


def _score_transfer(
    task: TransferTask, folder: DataFolder, vectors: EncodedSentences, protocol: Protocol, device: str
) -> _Scored:
    scored = score_transfer(task, read_splits(folder, task, protocol), vectors, protocol, device)
    if scored.correct is None:
        return _Scored(scored.score)
    return _Scored(_with_interval(scored.score, mean_interval(scored.correct)), correct=scored.correct)


def _with_interval(score: TaskScore, fraction: ConfidenceInterval) -> TaskScore:
    interval = Interval(low=100 * fraction.low, high=100 * fraction.high, level=fraction.level)
    return score.model_copy(update={"interval": interval})


def merge(
    records: Iterable[TaskRecord],
    *,
    model: str,
    pooler: str | None,
    protocol: Protocol,
    provenance: Provenance | None = None,
) -> Result:
    """A result of tasks' records, in column order; `seconds` is their sum.

    Raises:
        InputError: records of different models or protocols.
    """
    by_task = {record.task: record for record in records}
    order = [name for name in STANDARD if name in by_task] + [name for name in by_task if name not in STANDARD]
    ordered = [by_task[name] for name in order]
    benchmark = [record for record in ordered if record.task in STANDARD]
    fingerprints = {record.fingerprint for record in ordered}
    if len(fingerprints) > 1 or any(record.protocol != protocol for record in ordered):
        raise InputError("results of different models or protocols cannot be merged")
    about = provenance or Provenance(code_version=code_version())
    about = about.model_copy(
        update={
            "code_version": code_version(),
            "packages": package_versions(),
            "imports": checksums(),
            "model_fingerprint": next(iter(fingerprints), None),
            "data": {path: digest for record in ordered for path, digest in record.data.items()},
            "official_data": bool(benchmark) and all(record.official_data for record in benchmark),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
    )
    return Result(
        model=model,
        pooler=pooler,
        protocol=protocol,
        provenance=about,
        tasks={record.task: record.score for record in ordered},
        alignment=merged(ordered, "alignment"),
        uniformity=merged(ordered, "uniformity"),
        seconds=sum(record.score.seconds for record in ordered),
    ).with_averages()
