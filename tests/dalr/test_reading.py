"""Lines end where text files end them; what has a structure is not read as prose; faults of libraries are one line."""

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalr.errors import InputError
from dalr.files import lines_of, read_utf8
from dalr.reading import read_json, read_plain_lines, reading, structure_of

SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_files_end_them(end: str) -> None:
    assert lines_of(f"a{end}{end}b{end}") == ["a", "", "b"]
    assert lines_of(f"a{end}b") == ["a", "b"]
    assert lines_of(f"a{SEPARATORS}b{end}c") == [f"a{SEPARATORS}b", "c"]


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))))
def test_lines_come_back(lines: list[str]) -> None:
    for end in ("\n", "\r\n", "\r"):
        assert lines_of("".join(line + end for line in lines)) == (lines or [])


STRUCTURED = {
    "csv": "image,caption\n1.jpg,a dog\n",
    "csv of other columns": "id,sent0,sent1\n1,a dog,a cat\n",
    "csv without a header": "1.jpg,a dog\n2.jpg,a cat\n",
    "numbered": "0,A dog runs\n1,A cat sits\n",
    "quoted": '"A dog, running","5"\n"A cat","3"\n',
    "tsv": "sentence\tlabel\nA dog runs.\t1\n",
    "tsv without a header": "A dog runs.\tA cat.\nTwo men.\tA man.\n",
    "token": "1.jpg#0\tA dog runs .\n1.jpg#1\tA dog .\n",
    "bars": "image_name| comment_number| comment\n1.jpg| 0| A dog runs .\n",
    "one column": "sentence\nA dog runs.\nA cat sits.\n",
    "json": '{\n "images": []\n}\n',
    "json, cut": '{"images": [{"filename": "1.jp',
    "list": '[\n "A dog runs.",\n "A cat."\n]\n',
    "list on a line": '["A dog runs.", "A cat."]\n',
    "jsonl": '{"text": "A dog runs."}\n{"text": "A cat."}\n',
    "html": "<!DOCTYPE html>\n<html><body>404</body></html>\n",
    "html in capitals": "\n<HTML>\n<p>404\n",
    "xml": '<?xml version="1.0"?>\n<a/>\n',
    "git-lfs": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    "nul": "A dog\0runs\n",
    "utf-16": "A dog runs.\n".encode("utf-16"),
}
PROSE = {
    "commas": "Yes, no, maybe.\nA dog, a cat, 1,000 men.\n",
    "brackets": "[ edit ]\n[ 1 ] A dog runs.\n",
    "tags": "<unk> runs .\n<s> A dog </s>\n",
    "quotes": '" Stop , " he said .\n"A dog runs."\n',
    "numbers": "1 A dog runs.\n2 A cat sits.\n",
    "a tab somewhere": "A dog\truns.\nA cat sits.\n",
    "names": "1000268201_693b08cb0e.jpg\n1001773457_577c3a7d70.jpg\n",
    "a letter": "I\nA dog runs.\n",
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_what_has_a_structure_is_no_prose(tmp_path: Path, name: str) -> None:
    content = STRUCTURED[name]
    path = tmp_path / "corpus.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"data\.text: .*corpus\.txt: .*") as error:
        read_plain_lines(path, "data.text", "sentence")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", PROSE)
def test_prose_is_prose(name: str) -> None:
    assert structure_of(lines_of(PROSE[name])) is None


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.tsv", "a.Json", "a.jsonl", "a.parquet"])
def test_an_ending_says_that_there_is_a_structure(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("A dog runs.\nA cat sits.\n")
    with pytest.raises(InputError, match=r"seen: the ending \.\w+; expected plain text, one sentence a line"):
        read_plain_lines(tmp_path / name, "data.text", "sentence")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_wrong_byte_is_named_by_its_line(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(end.join([b"one", b"two", b"\xe9t\xe9"]))
    with pytest.raises(InputError, match="line 3: not UTF-8"):
        read_utf8(tmp_path / "a.txt", "data.text")


def test_json_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": [1]}))
    assert read_json(path, "x") == {"a": [1]}
    path.write_text("[" * 200_000)
    with pytest.raises(InputError, match="not readable JSON"):
        read_json(path, "x")


class Odd(Exception):
    pass


@pytest.mark.parametrize(
    "error", [Odd("first\nsecond"), KeyError("a"), RecursionError(), MemoryError(), OSError("cut")]
)
def test_what_a_library_raises_is_one_line(error: Exception) -> None:
    with (
        pytest.raises(InputError, match=r"^data\.x: f\.bin is not a whole file: .+$") as raised,
        reading("f.bin", "data.x", "a whole file"),
    ):
        raise error
    assert "\n" not in str(raised.value)


def test_what_is_no_fault_of_the_file_stays_what_it_is() -> None:
    for error in (InputError("mine"), OSError(errno.EMFILE, "too many open files"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, reading("f.bin", "data.x", "a whole file"):
            raise error
        assert raised.value is error
