"""The check of data folders, against copies damaged as public copies have been."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dalr.data.manifest import write_manifest
from dalr.datasets.check import FileReport, check_folder, check_senteval
from dalr.datasets.commands import check as check_command
from dalr.datasets.embedded import make_embedded_data
from dalr.errors import InputError

STS12 = "downstream/STS/STS12-en-test"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_embedded_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A sound SentEval folder to damage."""
    return Path(shutil.copytree(original / "senteval", tmp_path / "senteval"))


def faults(folder: Path) -> dict[str, str]:
    return {report.path: report.problem for report in check_folder(folder) if report.problem}


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def signed(folder: Path) -> Path:
    """The folder with a manifest of what is in it now, so that only contents can be wrong."""
    write_manifest(folder, "damaged")
    return folder


def test_the_real_data_is_sound(real_data: Path) -> None:
    reports = check_folder(real_data / "senteval")
    assert [report for report in reports if report.problem] == []
    assert {report.path: report.rows for report in reports}["downstream/SUBJ/subj.subjective"] == 5000


def test_the_embedded_data_is_sound_from_its_root_down(original: Path) -> None:
    reports = check_folder(original.parent)
    assert [report for report in reports if report.problem] == []
    paths = {report.path for report in reports}
    assert {"embedded/sentences.txt", f"embedded/senteval/{STS12}/STS.gs.MSRpar.txt"} <= paths


def test_subj_with_20_lines(folder: Path) -> None:
    edit(folder / "downstream/SUBJ/subj.subjective", lambda lines: lines[:20])
    found = faults(folder)
    assert list(found) == ["downstream/SUBJ/subj.subjective"]
    assert "20 lines, expected 150 (manifest.json)" in found["downstream/SUBJ/subj.subjective"]


def test_without_a_manifest_the_official_counts_apply(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    found = faults(folder)
    assert "150 lines, expected 5000 (the official count)" in found["downstream/SUBJ/subj.subjective"]
    assert len(found) == len(check_senteval(folder))


def test_a_missing_gold_file(folder: Path) -> None:
    (folder / STS12 / "STS.gs.MSRvid.txt").unlink()
    assert faults(folder) == {f"{STS12}/STS.gs.MSRvid.txt": "no such file"}


def test_a_changed_byte(folder: Path) -> None:
    path = folder / "downstream/CR/custrev.pos"
    path.write_bytes(path.read_bytes().replace(b"camera", b"kamera", 1))
    found = faults(folder)
    assert list(found) == ["downstream/CR/custrev.pos"]
    assert "it was changed" in found["downstream/CR/custrev.pos"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "STS.input.MSRpar.txt",
            "ein mann geht mit seinem hund am strand spazieren .\tdie katze schläft\n",
            "common Eng",
        ),
        ("STS.input.MSRpar.txt", "男は犬と一緒に浜辺を歩いている\t猫は寝ている\n", "not ASCII"),
        ("STS.input.MSRpar.txt", "un homme marche avec le chien sur la plage .\tle chat dort .\n", "translated"),
    ],
)
def test_a_translated_sts_file(folder: Path, name: str, content: str, says: str) -> None:
    (folder / STS12 / name).write_text(content * 30, encoding="utf-8")
    # Scripts without spaces have few words; a file must have enough of them to be judged.
    if "男" in content:
        (folder / STS12 / name).write_text(" ".join(content[:15]).join(["a b ", "\t猫 は\n"]) * 30, encoding="utf-8")
    found = faults(folder)  # its checksum differs as well, which says less
    assert list(found) == [f"{STS12}/{name}"]
    assert says in found[f"{STS12}/{name}"]


def test_a_gold_out_of_range_is_named_by_line(folder: Path) -> None:
    edit(folder / STS12 / "STS.gs.MSRpar.txt", lambda lines: [*lines[:6], b"7.2\n", *lines[7:]])
    edit(folder / "downstream/SICK/SICK_trial.txt", lambda lines: [lines[0], lines[1].replace(b"\t", b" "), *lines[2:]])
    found = faults(signed(folder))
    assert found[f"{STS12}/STS.gs.MSRpar.txt"] == "line 7: score 7.2 is outside 0 to 5"
    assert found["downstream/SICK/SICK_trial.txt"].startswith("line 2: ")
    assert len(found) == 2


def test_every_damaged_subset_is_named(folder: Path) -> None:
    for subset in ("MSRpar", "MSRvid"):
        edit(folder / STS12 / f"STS.gs.{subset}.txt", lambda lines: [b"x\n", *lines[1:]])
    assert len(faults(signed(folder))) == 2


def test_fewer_golds_than_pairs(folder: Path) -> None:
    edit(folder / STS12 / "STS.gs.MSRpar.txt", lambda lines: lines[:-1])
    found = faults(signed(folder))
    assert list(found) == [f"{STS12}/STS.gs.MSRpar.txt"]
    assert found[f"{STS12}/STS.gs.MSRpar.txt"].startswith("29 scores for the 30 pairs")


def test_windows_line_ends_and_a_byte_order_mark(folder: Path) -> None:
    edit(folder / "downstream/MR/rt-polarity.pos", lambda lines: [line.replace(b"\n", b"\r\n") for line in lines])
    edit(folder / STS12 / "STS.input.MSRpar.txt", lambda lines: [b"\xef\xbb\xbf" + lines[0], *lines[1:]])
    found = faults(signed(folder))
    assert "CRLF, expected LF" in found["downstream/MR/rt-polarity.pos"]
    assert "byte order mark" in found[f"{STS12}/STS.input.MSRpar.txt"]
    assert len(found) == 2


def test_a_wrong_encoding_is_named_by_line(folder: Path) -> None:
    path = folder / "downstream/TREC/train_5500.label"
    path.write_bytes(path.read_bytes().decode("latin-1").encode("utf-8"))
    edit(folder / STS12 / "STS.input.MSRpar.txt", lambda lines: [*lines[:3], b"caf\xe9\tcaf\xe9\n", *lines[4:]])
    found = faults(signed(folder))
    assert "expected latin-1" in found["downstream/TREC/train_5500.label"]
    assert found[f"{STS12}/STS.input.MSRpar.txt"].startswith("line 4: wrong encoding")
    assert len(found) == 2


def test_a_listed_file_of_a_data_folder(tmp_path: Path) -> None:
    (tmp_path / "wiki1m_for_simcse.txt").write_text("one\ntwo\n")
    write_manifest(tmp_path, "dalr data")
    assert faults(tmp_path) == {}
    (tmp_path / "wiki1m_for_simcse.txt").write_text("one\nTWO\n")
    assert "it was changed" in faults(tmp_path)["wiki1m_for_simcse.txt"]
    (tmp_path / "wiki1m_for_simcse.txt").write_text("one\n")
    assert faults(tmp_path)["wiki1m_for_simcse.txt"] == "1 lines, expected 2 (manifest.json)"
    (tmp_path / "wiki1m_for_simcse.txt").unlink()
    assert check_folder(tmp_path) == [FileReport("wiki1m_for_simcse.txt", None, "no such file")]


def test_a_folder_without_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        check_folder(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"holds no `downstream`"):
        check_folder(tmp_path)


def test_the_command_prints_a_table_and_answers_2_where_something_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_command(folder, as_json=False, quiet=False) == 0
    printed = capsys.readouterr()
    assert "69 files, 0 with problems" in printed.out
    assert printed.err == ""
    (folder / "downstream/MR/rt-polarity.pos").unlink()
    assert check_command(folder, as_json=False, quiet=True) == 2
    printed = capsys.readouterr()
    assert "downstream/MR/rt-polarity.pos" in printed.out
    assert "rt-polarity.neg" not in printed.out
    assert printed.err.count("\n") == 1
    assert "1 of 69 files are not sound" in printed.err
    assert check_command(folder, as_json=True, quiet=True) == 2
    reports = json.loads(capsys.readouterr().out)
    assert sum(report["problem"] is not None for report in reports) == 1
