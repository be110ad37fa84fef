"""Reads the tasks' files. Whatever is not exactly as declared is refused, by file and line."""

import codecs
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dalr.data.manifest import Manifest, read_manifest
from dalr.errors import InputError
from dalr.evaluation.tables import named_columns
from dalr.evaluation.tasks import FileExpectation, PairSource, StsTask
from dalr.files import lines_of
from dalr.reading import parse_json


@dataclass
class DataFolder:
    """A SentEval folder (it holds `downstream/`), and the checksums of what has been read from it.

    A `manifest.json` in it stands in for the official row counts. Files of the user's own tasks have
    absolute paths, so that no folder need be `given` for them.
    """

    root: Path
    manifest: Manifest | None = None
    given: bool = True
    checksums: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: "str | Path | DataFolder | None") -> "DataFolder":
        """`None` is for the user's own tasks alone.

        Raises:
            InputError: the folder is missing or is not laid out as SentEval's.
        """
        if isinstance(path, DataFolder):
            return path
        if path is None:
            return cls(Path(), given=False)
        root = Path(path).expanduser()
        if not root.is_dir():
            raise InputError(f"data: no such folder: {root}")
        if not (root / "downstream").is_dir():
            below = next((f"; did you mean {p}?" for p in (root / "senteval", root.parent) if _holds_tasks(p)), "")
            raise InputError(f"data: {root} has no folder `downstream`, so it is not a SentEval folder{below}")
        return cls(root, read_manifest(root))

    def lines(self, file: FileExpectation) -> list[str]:
        """The file's text lines, without their ends, checked against the rows expected of it."""
        path = self.root / file.path
        data = self.read(file.path)
        text = _decoded(path, data, file.encoding)
        lines = lines_of(text)
        if not lines:
            raise InputError(f"{path}: holds no text")
        rows = self.rows_expected(file)
        if rows is not None and len(lines) != rows:
            source = "as declared" if is_own(file) else "manifest.json" if self.manifest else "the official count"
            raise InputError(f"{path}: {len(lines)} lines, expected {rows} ({source}); the file is cut or not the one")
        return lines

    def read(self, relative: str) -> bytes:
        """A file's bytes; notes their sha256, and holds it against the manifest's."""
        path = self.root / relative
        if not path.is_file():
            hint = "" if Path(relative).is_absolute() else f"; `dalr data check {self.root}` says what is missing"
            raise InputError(f"{path}: no such file{hint}")
        data = path.read_bytes()
        if not data:
            raise InputError(f"{path}: the file is empty")
        digest = hashlib.sha256(data).hexdigest()
        if self.manifest is not None:
            entry = self.manifest.files.get(relative)
            if entry is not None and entry.sha256 != digest:
                raise InputError(f"{path}: sha256 {digest[:12]}… differs from manifest.json's {entry.sha256[:12]}…")
        self.checksums[relative] = digest
        return data

    def rows_expected(self, file: FileExpectation) -> int | None:
        """The manifest's row count where there is a manifest, else the official one. A manifest has no
        say over files of the user's own tasks."""
        if self.manifest is None or is_own(file):
            return file.rows
        if file.path not in self.manifest.files:
            raise InputError(f"{self.root / 'manifest.json'}: does not list {file.path}")
        return self.manifest.files[file.path].rows

    def is_official(self, files: list[FileExpectation]) -> bool:
        """Whether every one of the files has the official row count (the user's own are passed over)."""
        return all(is_own(file) or self.rows_expected(file) == file.rows for file in files)

    def digest(self, files: list[FileExpectation]) -> dict[str, str]:
        """The sha256 of each file, by path relative to the folder."""
        for file in files:
            if file.path not in self.checksums:
                self.read(file.path)
        return {file.path: self.checksums[file.path] for file in files}


def is_own(file: FileExpectation) -> bool:
    """Whether the file is one of the user's own tasks': those have absolute paths."""
    return Path(file.path).is_absolute()


def _holds_tasks(folder: Path) -> bool:
    return (folder / "downstream").is_dir()


def _decoded(path: Path, data: bytes, encoding: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise InputError(f"{path}:1: wrong encoding: UTF-16 or binary; expected {encoding}")
    if encoding == "latin-1" and not data.isascii() and _is_utf8(data):
        line = next(n for n, row in enumerate(data.split(b"\n"), 1) if not row.isascii())
        raise InputError(
            f"{path}:{line}: wrong encoding: UTF-8 text; expected latin-1, as SentEval's script leaves this file"
        )
    # The mark is taken off here: Python's own codec counts errors from behind it.
    marked, codec = data.startswith(codecs.BOM_UTF8), "latin-1" if encoding == "latin-1" else "utf-8"
    if marked and encoding != "utf-8-sig":
        raise InputError(f"{path}:1: wrong encoding: a byte order mark; expected {codec} without one")
    try:
        return data.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{data[error.start]:02x}"
        raise InputError(f"{path}:{line}: wrong encoding: {byte} is not {codec}; expected {codec}") from None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def normalised(sentence: str) -> str:
    """The sentence as the toolkit encodes it: its whitespace-separated tokens joined by one space."""
    return " ".join(sentence.split())


@dataclass(frozen=True)
class ScoredPairs:
    """One subset: n pairs of sentences and their gold scores, float64 [n]."""

    name: str
    first: list[str]
    second: list[str]
    gold: np.ndarray

    def __len__(self) -> int:
        return len(self.gold)


def read_split(folder: DataFolder, task: StsTask, split: str) -> list[ScoredPairs]:
    """The subsets of a split, in declared order; STS12-16 in the toolkit's order, the others in the
    file's.

    Raises:
        InputError: no such split, or a file that is missing, cut, damaged or out of range.
    """
    if split not in task.splits:
        raise InputError(f"{task.name} has no split {split!r}; it has: {', '.join(task.splits)}")
    subsets = []
    for source in task.splits[split]:
        rows = _reader(source)(folder, source, task.scale)
        if len(rows) < 2:
            raise InputError(f"{folder.root / source.text.path}: {len(rows)} scored pairs; a correlation needs two")
        if task.subsets:
            rows.sort(key=lambda row: (len(row[0].split()), len(row[1].split()), row[2]))
        first, second, gold = zip(*rows, strict=True)
        subsets.append(ScoredPairs(source.name, list(first), list(second), np.array(gold, dtype=np.float64)))
    scores = np.concatenate([subset.gold for subset in subsets])
    if scores.min() == scores.max():
        place = folder.root / task.splits[split][0].text.path
        raise InputError(f"{place}: all {len(scores)} pairs have the score {scores[0]:g}; a correlation needs others")
    return subsets


Row = tuple[str, str, float]
Reader = Callable[[DataFolder, PairSource, tuple[float, float]], list[Row]]


def _reader(source: PairSource) -> Reader:
    if source.gold is not None:
        return _parallel
    return READERS[source.layout]


def _parallel(folder: DataFolder, source: PairSource, scale: tuple[float, float]) -> list[Row]:
    assert source.gold is not None
    texts, golds = folder.lines(source.text), folder.lines(source.gold)
    text_path, gold_path = folder.root / source.text.path, folder.root / source.gold.path
    if len(texts) != len(golds):
        raise InputError(f"{gold_path}: {len(golds)} scores for the {len(texts)} pairs of {text_path}")
    rows = []
    for number, (text, gold) in enumerate(zip(texts, golds, strict=True), 1):
        pair = text.split("\t")
        if len(pair) != 2:
            raise InputError(f"{text_path}:{number}: {len(pair)} fields, expected 2: sentence TAB sentence")
        if not gold.strip() and source.blanks:
            continue
        rows.append((normalised(pair[0]), normalised(pair[1]), _score(gold, gold_path, number, scale)))
    if folder.manifest is None and source.scored is not None and len(rows) != source.scored:
        raise InputError(f"{gold_path}: {len(rows)} scores that are not blank, expected {source.scored}")
    return rows


def _table(folder: DataFolder, source: PairSource, scale: tuple[float, float]) -> list[Row]:
    path, lines = folder.root / source.text.path, folder.lines(source.text)
    columns, rows = source.columns, []
    first, second, score = columns.first, columns.second, columns.score
    for number, line in enumerate(lines, 1):
        if columns.header and number == 1:
            continue
        fields = line.strip("\r\n").split("\t")
        if (columns.width is not None and len(fields) != columns.width) or len(fields) <= max(first, second, score):
            expected = columns.width or max(first, second, score) + 1
            raise InputError(f"{path}:{number}: {len(fields)} tab-separated fields, expected {expected}")
        pair = normalised(fields[first]), normalised(fields[second])
        if columns.quotes_stand_alone and folder.manifest is None:
            _refuse_glued_quote(pair, path, number)
        rows.append((*pair, _score(fields[score], path, number, scale)))
    return rows


def _named(folder: DataFolder, source: PairSource, scale: tuple[float, float]) -> list[Row]:
    path = folder.root / source.text.path
    table = named_columns(folder.lines(source.text), ("sentence1", "sentence2", "score"), path)
    return [
        (normalised(first), normalised(second), _score(score, path, number, scale))
        for number, (first, second, score) in table
    ]


def _jsonl(folder: DataFolder, source: PairSource, scale: tuple[float, float]) -> list[Row]:
    path, rows = folder.root / source.text.path, []
    for number, line in enumerate(folder.lines(source.text), 1):
        try:
            values = parse_json(line)
            first, second, score = values["sentence1"], values["sentence2"], values["score"]
            pair = normalised(first), normalised(second)
        except (ValueError, KeyError, TypeError, AttributeError):
            expected = '{"sentence1": …, "sentence2": …, "score": …}'
            raise InputError(f"{path}:{number}: not a scored pair; expected {expected}") from None
        rows.append((*pair, _score(str(score), path, number, scale)))
    return rows


READERS: dict[str, Reader] = {"table": _table, "named": _named, "jsonl": _jsonl}


def _refuse_glued_quote(pair: tuple[str, str], path: Path, number: int) -> None:
    for word in (word for sentence in pair for word in sentence.split()):
        if '"' in word and word != '"':
            raise InputError(
                f"{path}:{number}: stray quotation mark in {word!r}: the official file is tokenised and has no "
                "quoting; a spreadsheet may have rewritten it"
            )


def _score(text: str, path: Path, number: int, scale: tuple[float, float]) -> float:
    low, high = scale
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{path}:{number}: {text.strip()!r} is not a score; expected {low:g} to {high:g}") from None
    if not low <= value <= high:
        raise InputError(f"{path}:{number}: score {text.strip()} is outside {low:g} to {high:g}")
    return value
