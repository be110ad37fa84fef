"""The manifest of a data folder, held against counts and hashes computed here."""

import hashlib
import json
from pathlib import Path

import pytest

from dalr.data.manifest import Origin, count_lines, read_manifest, write_manifest
from dalr.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.txt").write_bytes("one\ntwo\u2028half\r\nthree".encode())
    (tmp_path / "b.txt").write_bytes(b"\n\n")
    (tmp_path / ".hidden").write_bytes(b"x")
    return tmp_path


def test_a_written_manifest_reads_back_with_rows_and_hashes(folder: Path) -> None:
    written = write_manifest(folder, "a test", seed=3)
    manifest = read_manifest(folder)
    assert manifest == written
    assert manifest is not None
    assert sorted(manifest.files) == ["b.txt", "deep/er/a.txt"]
    assert manifest.files["b.txt"].rows == 2
    assert manifest.files["deep/er/a.txt"].rows == 3
    assert manifest.files["b.txt"].sha256 == hashlib.sha256(b"\n\n").hexdigest()


def test_the_file_has_the_documented_keys(folder: Path) -> None:
    write_manifest(folder, "dalr embedded", files=[folder / "b.txt"])
    values = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256(b"\n\n").hexdigest()
    assert values == {"schema": 1, "name": "dalr embedded", "files": {"b.txt": {"rows": 2, "sha256": digest}}}


def test_sources_are_kept(folder: Path) -> None:
    source = Origin(url="http://127.0.0.1/x", bytes=3, sha256="0" * 64, verified="published")
    write_manifest(folder, "fetched", sources={"x": source})
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.sources == {"x": source}


def test_without_the_file_there_is_no_manifest(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: not valid JSON"),
        ("[]", "expected keys and values"),
        ('{"schema": 2}', "schema 2 is newer"),
        ('{"schema": 1, "name": "x", "files": {"a": {"rows": -1, "sha256": ""}}}', "files.a.rows"),
        ('{"schema": 1, "name": "x", "files": {"../a": {"rows": 1, "sha256": "' + "0" * 64 + '"}}}', "'../a'"),
    ],
)
def test_a_bad_manifest_is_one_line_naming_the_file(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError) as raised:
        read_manifest(tmp_path)
    assert says in str(raised.value)
    assert str(tmp_path / "manifest.json") in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("content", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\n\n", 2), (b"a\rb\x85c\n", 1)])
def test_lines_are_counted_by_line_feeds(tmp_path: Path, content: bytes, lines: int) -> None:
    (tmp_path / "f").write_bytes(content)
    assert count_lines(tmp_path / "f") == lines
