"""Checks data folders: files, row counts, checksums, encodings, line ends, language, scores."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dalr.data.manifest import MANIFEST, Manifest, count_lines, file_entry, read_manifest
from dalr.errors import InputError
from dalr.evaluation.labelled import read_labelled
from dalr.evaluation.readers import DataFolder, read_split
from dalr.evaluation.tasks import STANDARD, FileExpectation, StsTask, Task, expected_files, files_of
from dalr.files import sha256_of

ENGLISH = frozenset(
    "the of to and for with that it at by are were be this from not or have she his you they but which who what "
    "how".split()
)
"""Frequent words that are rare in other languages. Headlines have the fewest: 8 percent of the words
of the official files, 5 of the embedded ones."""

LEAST_ENGLISH = 0.03
MOST_FOREIGN = 0.02
"""The share of characters beyond ASCII; the official files stay below 0.3 percent."""

ENOUGH_WORDS = 100
SAMPLED_LINES = 2000

CHANGED = f"its sha256 differs from {MANIFEST}'s: it was changed"


@dataclass(frozen=True)
class FileReport:
    """One file: its path below the checked folder, its number of lines (None where it cannot be read),
    and what is wrong with it (None: nothing)."""

    path: str
    rows: int | None
    problem: str | None = None


def check_folder(folder: Path) -> list[FileReport]:
    """Reports on every file that should be in `folder`: a SentEval folder, or a data folder with
    `senteval`, `embedded` and whatever its manifest lists.

    Raises:
        InputError: no such folder, or it holds nothing that can be checked.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"check: no such folder: {folder}")
    if (folder / "downstream").is_dir():
        return check_senteval(folder)
    reports = _check_listed(folder)
    for name in ("senteval", "embedded"):
        if (folder / name).is_dir():
            reports += [replace(report, path=f"{name}/{report.path}") for report in check_folder(folder / name)]
    if not reports:
        raise InputError(
            f"check: {folder} holds no `downstream` (SentEval), no `senteval` or `embedded` folder and no {MANIFEST}"
        )
    return reports


def _check_listed(folder: Path) -> list[FileReport]:
    """The files that the folder's manifest lists, by row count and checksum."""
    manifest = read_manifest(folder)
    return [_listed(folder, path, manifest) for path in manifest.files] if manifest else []


def _listed(folder: Path, path: str, manifest: Manifest) -> FileReport:
    if not (folder / path).is_file():
        return FileReport(path, None, "no such file")
    entry, expected = file_entry(folder / path), manifest.files[path]
    if entry.rows != expected.rows:
        return FileReport(path, entry.rows, f"{entry.rows} lines, expected {expected.rows} ({MANIFEST})")
    return FileReport(path, entry.rows, CHANGED if entry.sha256 != expected.sha256 else None)


def check_senteval(folder: Path) -> list[FileReport]:
    """Reports on every file of the 14 tasks below a SentEval folder, in the tasks' order.

    First each file by itself (there, whole, decodable, line ends, language), then, of the tasks whose
    files passed, every line (fields, labels, scores in range, as many scores as pairs), and last the
    checksums, which say least of what is wrong.
    """
    data = DataFolder.open(folder)
    unsigned = replace(data, manifest=_unsigned(data))
    problems: dict[str, str] = {}
    for file in expected_files():
        if problem := _file_problem(unsigned, file):
            problems[file.path] = problem
    for task in STANDARD.values():
        for path, problem in _content_problems(unsigned, task, problems):
            problems.setdefault(path, problem)
    for path, digest in unsigned.checksums.items():
        if data.manifest and path in data.manifest.files and data.manifest.files[path].sha256 != digest:
            problems.setdefault(path, CHANGED)
    rows = {file.path: data.root / file.path for file in expected_files()}
    return [
        FileReport(path, count_lines(place) if place.is_file() else None, problems.get(path))
        for path, place in rows.items()
    ]


def _unsigned(data: DataFolder) -> Manifest | None:
    """The manifest with the row counts that it has and the checksums that the files have."""
    if data.manifest is None:
        return None
    files = {
        path: entry.model_copy(update={"sha256": sha256_of(data.root / path)})
        for path, entry in data.manifest.files.items()
        if (data.root / path).is_file()
    }
    return data.manifest.model_copy(update={"files": data.manifest.files | files})


def _file_problem(data: DataFolder, file: FileExpectation) -> str | None:
    path = data.root / file.path
    if not path.is_file():
        return "no such file"
    raw = path.read_bytes()
    if raw.startswith(b"\xef\xbb\xbf") and file.encoding != "utf-8-sig":
        return f"begins with a byte order mark; expected plain {file.encoding}"
    # SICK is published with CRLF.
    if b"\r\n" in raw and "/SICK/" not in file.path:
        return "its lines end in CRLF, expected LF: a tool for Windows has rewritten it"
    try:
        lines = data.lines(file)
    except InputError as error:
        return _without(error, path)
    return None if ".gs." in path.name else _language_problem(lines)


def _language_problem(lines: list[str]) -> str | None:
    text = "\n".join(lines[:SAMPLED_LINES])
    words = [word.lower() for word in text.split() if word.isalpha()]
    if len(words) < ENOUGH_WORDS:
        return None
    foreign = 1 - len(text.encode("ascii", "ignore")) / len(text)
    if foreign > MOST_FOREIGN:
        return f"{100 * foreign:.0f} % of its characters are not ASCII, expected fewer than 1 %: translated?"
    english = sum(word in ENGLISH for word in words) / len(words)
    if english < LEAST_ENGLISH:
        return f"only {100 * english:.1f} % of its words are common English ones, expected 8 % or more: translated?"
    return None


def _content_problems(data: DataFolder, task: Task, known: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What the evaluation's own readers refuse, by file; the splits with known problems are left out."""
    for split in task.splits:
        for part in _parts(task, split):
            files = files_of(part, [split])
            if any(file.path in known for file in files):
                continue
            # Without the manifest the readers hold the official files to stricter rules.
            official = data.is_official(files)
            reader = replace(data, manifest=None) if official else data
            try:
                if isinstance(part, StsTask):
                    read_split(reader, part, split)
                else:
                    read_labelled(reader, part, split)
            except InputError as error:
                yield _blamed(error, data, files)


def _parts(task: Task, split: str) -> list[Task]:
    """An STS split's subsets one by one, so that each is named; a transfer split as a whole, since a
    file of one class is no task."""
    if not isinstance(task, StsTask):
        return [task]
    return [replace(task, splits={split: (source,)}) for source in task.splits[split]]


def _blamed(error: InputError, data: DataFolder, files: list[FileExpectation]) -> tuple[str, str]:
    """The file that the message begins with, and the rest of the message."""
    for file in files:
        if str(error).startswith(str(data.root / file.path)):
            return file.path, _without(error, data.root / file.path)
    return files[0].path, str(error)


def _without(error: InputError, path: Path) -> str:
    """The message without the path: `12: …` becomes `line 12: …`."""
    rest = str(error).removeprefix(str(path)).removeprefix(":").strip()
    number, colon, message = rest.partition(":")
    return f"line {number}:{message}" if colon and number.isdigit() else rest
