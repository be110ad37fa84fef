"""Which records of an earlier evaluation still hold: they are of the same model, protocol and data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dalr.errors import InputError
from dalr.evaluation.mteb_tasks import data_of, record_name
from dalr.evaluation.plan import splits_read
from dalr.evaluation.readers import DataFolder, is_own
from dalr.evaluation.tasks import STANDARD, FileExpectation, Task, files_of
from dalr.results import Protocol, TaskRecord, details_file, read_details

if TYPE_CHECKING:
    from mteb import AbsTask


def done_before(
    out: Path | None, task: Task, folder: DataFolder, protocol: Protocol, fingerprint: str | None
) -> TaskRecord | None:
    """The task's record beside `out`, if it is of the same model, data and protocol."""
    record = _stored(out, task.name, protocol, fingerprint)
    if record is None:
        return None
    return record if _digest(folder, files_of(task, splits_read(task, protocol))) == record.data else None


def mteb_done_before(
    out: Path | None, task: "AbsTask", protocol: Protocol, fingerprint: str | None
) -> TaskRecord | None:
    """The same for a task of MTEB."""
    record = _stored(out, record_name(task), protocol, fingerprint)
    return record if record is not None and record.data == data_of(task) else None


def others_done_before(
    out: Path | None,
    records: Sequence[TaskRecord],
    folder: DataFolder,
    protocol: Protocol,
    fingerprint: str | None,
    custom: Sequence[Task],
) -> list[TaskRecord]:
    """Records of tasks that were not asked for now, but belong to the same result: the benchmark's while its
    data is the same, or not given now; own ones, declared now or not, while their files are the same; MTEB's."""
    if out is None or fingerprint is None:
        return []
    asked = {record.task for record in records}
    stored = {path.stem for path in details_file(out, "*").parent.glob("*.npz")} - asked
    known = STANDARD | {task.name: task for task in custom}
    others = []
    for name in sorted(stored, key=lambda name: (name not in known, name)):
        if name in known and (name not in STANDARD or folder.given):
            others.append(done_before(out, known[name], folder, protocol, fingerprint))
        else:
            others.append(_done_before_unread(out, name, folder, protocol, fingerprint))
    return [record for record in others if record is not None]


def _done_before_unread(
    out: Path, name: str, folder: DataFolder, protocol: Protocol, fingerprint: str
) -> TaskRecord | None:
    """The record of a task whose declaration or data is not at hand: of the files, those with absolute
    paths must be as they were."""
    record = _stored(out, name, protocol, fingerprint)
    if record is None:
        return None
    digest = _digest(folder, [file for path in record.data if is_own(file := FileExpectation(path, None))])
    return record if digest is not None and digest.items() <= record.data.items() else None


def _stored(out: Path | None, name: str, protocol: Protocol, fingerprint: str | None) -> TaskRecord | None:
    """A task's record beside `out`, if it is of the same model and protocol."""
    if out is None or fingerprint is None or (details := read_details(out, name)) is None:
        return None
    record = details.record
    return record if (record.fingerprint, record.protocol) == (fingerprint, protocol) else None


def _digest(folder: DataFolder, files: list[FileExpectation]) -> Mapping[str, str] | None:
    """The files' checksums; None where one is gone or damaged, which scoring the task then reports."""
    try:
        return folder.digest(files)
    except InputError:
        return None
