"""Corpora → rows: sentences of a text file, captions of the layouts in which they are published."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dalr.data.corpora.caption_json import json_pairs, refuse_split
from dalr.data.corpora.kdmcse import is_kdmcse, kdmcse_pairs, kdmcse_records
from dalr.errors import InputError
from dalr.files import existing_file, lines_of, read_utf8
from dalr.reading import read_plain_lines, reading, refuse_structure


def hash_of_texts(texts: Iterable[str]) -> str:
    """The hex sha256 of a list of texts, each preceded by its length in bytes."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Sentences:
    """A corpus of plain sentences, in the order of the file; `dropped` lines were empty."""

    texts: tuple[str, ...]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def data_hash(self) -> str:
        """Changes with any sentence and with their order."""
        return hash_of_texts(self.texts)


@dataclass(frozen=True)
class Captions:
    """N captions of M images.

    `image_ids`: M different ids, in the order in which the source first names them; file names where
    `named`, otherwise the caption's line in its file, from 0. `image_of_caption`: int64 [N], the place
    in `image_ids` of each caption's image. Every image has a caption. `dropped` captions were empty.
    """

    image_ids: tuple[str, ...]
    captions: tuple[str, ...]
    image_of_caption: NDArray[np.int64]
    named: bool = True
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.captions)

    @cached_property
    def sentences(self) -> Sentences:
        """The captions' texts as a corpus of their own."""
        return Sentences(self.captions)

    @cached_property
    def data_hash(self) -> str:
        """Changes with any caption, any image id, and with their order."""
        images = (self.image_ids[image] for image in self.image_of_caption)
        return hash_of_texts(text for pair in zip(images, self.captions, strict=True) for text in pair)


def captions_of(pairs: Iterable[tuple[str, str]], source: Path, *, named: bool = True) -> Captions:
    """Captions from (image id, caption) pairs. Captions without a word are dropped and counted.

    Raises:
        InputError: no caption is left, or a text that UTF-8 cannot write; the message names `source`.
    """
    places: dict[str, int] = {}
    captions: list[str] = []
    image_of_caption: list[int] = []
    dropped = 0
    for image, caption in pairs:
        words = " ".join(caption.split())
        if not words:
            dropped += 1
            continue
        captions.append(words)
        image_of_caption.append(places.setdefault(image, len(places)))
    if not captions:
        raise InputError(f"data.captions: {source} has no captions")
    for text in (*places, *captions):
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise InputError(f"data.captions: {source}: {text[:40]!r} has half of a surrogate pair; it is no text")
    return Captions(tuple(places), tuple(captions), np.asarray(image_of_caption, np.int64), named, dropped)


def read_sentences(path: str | Path) -> Sentences:
    """One sentence a line, stripped. Lines without a word are dropped, and counted in `dropped`: an
    empty sentence teaches nothing and its encoding is that of the special tokens alone.

    Raises:
        InputError: no such file, not UTF-8, of another structure, or no sentence in it.
    """
    path = Path(path)
    lines = [line.strip() for line in read_plain_lines(path, "data.text", "sentence")]
    texts = tuple(line for line in lines if line)
    if not texts:
        raise InputError(f"data.text: {path} has no sentences")
    return Sentences(texts, dropped=len(lines) - len(texts))


def read_captions(path: str | Path, store: Path | None = None, *, split: str | None = None) -> Captions:
    """Captions in any layout that `data.captions` allows, told by content:

    - a folder: Flickr30k Entities;
    - JSON: Karpathy's split, COCO's annotations or KDMCSE's features;
    - a table with the columns `image` and `caption`, between commas, tabs, semicolons or bars;
    - Flickr's `.token` files, `NAME#NUMBER TAB CAPTION`;
    - plain lines, one caption each, of image number = line number from 0.

    `store` keeps what a large file (KDMCSE's) was converted to. `split` chooses the images of Karpathy's
    split (default: those that models train on); the other layouts have none (`NoSplits`).

    Raises:
        InputError: a missing or malformed file, or another layout; the message names the file and the
            line or record, or what was seen.
    """
    path = Path(path)
    if not path.is_dir() and (path.suffix.lower() == ".json" or _begins_json(path)):
        return _json_captions(path, store, split)
    refuse_split(path, split)
    if path.is_dir():
        return captions_of(_entities_pairs(path), path)
    lines = lines_of(read_utf8(path, "data.captions"))
    first = next((line for line in lines if line.strip()), "")
    delimiter = _delimiter_of(first)
    if delimiter is None and path.suffix.lower() in (".csv", ".tsv"):
        raise InputError(
            f"data.captions: {path}, line 1: expected a header with the columns image,caption; found {first[:80]}"
        )
    if delimiter is not None:
        return captions_of(_table_pairs(path, delimiter), path)
    if all(map(_TOKEN_LINE.match, lines)):
        return captions_of(_token_pairs(lines), path)
    refuse_structure(lines, f"data.captions: {path}", "caption", path.suffix)
    return captions_of(((str(number), line) for number, line in enumerate(lines)), path, named=False)


def _begins_json(path: Path) -> bool:
    with existing_file(path, "data.captions").open("rb") as file:
        return bool(re.match(rb"(\xef\xbb\xbf)?\s*(\{|\[\s*[\[{\"])", file.read(512)))


def _json_captions(path: Path, store: Path | None, split: str | None) -> Captions:
    path = existing_file(path, "data.captions")
    if not is_kdmcse(path, "data.captions"):
        return captions_of(json_pairs(path, split), path)
    refuse_split(path, split)
    if store is None:
        return captions_of(kdmcse_pairs(path, "data.captions"), path)
    records = kdmcse_records(path, "data.captions", store)
    images = (records.images[image] for image in records.image_of_caption)
    return captions_of(zip(images, records.captions, strict=True), path)


_COLUMNS = {"image", "caption"}
_TOKEN_LINE = re.compile(r"(\S.*)#\d+\t(.*)")


def _delimiter_of(header: str) -> str | None:
    """What separates the columns of a header with `image` and `caption`; None for another line."""
    for delimiter in ",\t;|":
        if {name.strip().strip('"') for name in header.split(delimiter)} >= _COLUMNS:
            return delimiter
    return None


def _table_pairs(path: Path, delimiter: str) -> Iterator[tuple[str, str]]:
    text = read_utf8(path, "data.captions").lstrip("\r\n")
    # Tables between tabs or bars are written without quotes.
    quotes = '"' if delimiter in ",;" else None
    reader = csv.reader(
        io.StringIO(text, newline=""),
        strict=True,
        delimiter=delimiter,
        quotechar=quotes,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
    )
    with reading(path, "data.captions", "a readable table"):
        try:
            header = [name.strip().strip('"') for name in next(reader)]
            if twice := next((name for name in _COLUMNS if header.count(name) > 1), None):
                raise InputError(f"data.captions: {path}, line 1: {header.count(twice)} columns are called {twice}")
            image, caption = header.index("image"), header.index("caption")
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header) or not row[image].strip():
                    raise InputError(
                        f"data.captions: {path}, line {reader.line_num}: expected {len(header)} columns with an image; "
                        f"found {len(row)} (a caption with a comma must be in double quotes)"
                    )
                yield row[image].strip(), row[caption]
        except csv.Error as error:
            raise InputError(f"data.captions: {path}, line {reader.line_num}: not valid CSV: {error}") from error


def _token_pairs(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        image, _, caption = line.partition("\t")
        yield image.rpartition("#")[0], caption


def _entities_pairs(folder: Path) -> Iterator[tuple[str, str]]:
    """Flickr30k Entities: `train.txt` lists image ids, `Sentences/ID.txt` holds their captions with
    phrases marked `[/EN#1/people Two men]`. Without `train.txt` every file of `Sentences` is read."""
    sentences = folder / "Sentences"
    if not sentences.is_dir():
        raise InputError(
            f"data.captions: {folder} has no folder Sentences; expected the layout of Flickr30k Entities "
            "(Sentences/ID.txt, train.txt)"
        )
    split = folder / "train.txt"
    if split.exists():
        ids = [line.strip() for line in read_plain_lines(split, "data.captions", "id") if line.strip()]
    else:
        ids = sorted(file.stem for file in sentences.glob("*.txt"))
    for image in ids:
        file = sentences / f"{image}.txt"
        for number, line in enumerate(lines_of(read_utf8(file, "data.captions")), 1):
            yield image, _without_phrase_marks(line, file, number)


def _without_phrase_marks(line: str, file: Path, number: int) -> str:
    words: list[str] = []
    inside = False
    for word in line.split():
        if word.startswith("[/EN#") and not inside:
            inside = True
            continue
        closes = inside and word.endswith("]")
        inside = inside and not closes
        words.append(word[:-1] if closes else word)
    if inside:
        raise InputError(f"data.captions: {file}, line {number}: a phrase opened by [/EN# is not closed by ]")
    return " ".join(words)
