"""Damaged data is refused, by file and line; what only looks damaged is read as the toolkit reads it."""

from pathlib import Path

import pytest

from dalr.errors import InputError
from dalr.evaluation.readers import DataFolder, read_split
from dalr.evaluation.tasks import STANDARD, StsTask, expected_files

STS12 = "downstream/STS/STS12-en-test"
STSB_DEV = "downstream/STS/STSBenchmark/sts-dev.csv"


def read(data: Path, name: str, split: str = "test") -> list:
    task = STANDARD[name]
    assert isinstance(task, StsTask)
    return read_split(DataFolder.open(data), task, split)


def change_line(path: Path, number: int, line: bytes) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = line
    path.write_bytes(b"\n".join(lines))


def forget_checksums(data: Path) -> None:
    """Rewrites the manifest, so that only what the reader itself sees is left to complain of."""
    from dalr.data.manifest import write_manifest

    write_manifest(data, "small")


def test_official_row_counts_are_those_of_the_real_files(real_data: Path) -> None:
    folder = DataFolder.open(real_data / "senteval")
    files = expected_files()
    assert len(files) == 2 * (5 + 3 + 6 + 5 + 5) + 6 + 8 + 3 + 2 + 2
    for file in files:
        assert len(folder.lines(file)) == file.rows
    assert folder.is_official(files)


@pytest.mark.parametrize(("year", "pairs"), [(12, 3108), (13, 1500), (14, 3750), (15, 3000), (16, 1186)])
def test_pairs_without_a_score_are_dropped(real_data: Path, year: int, pairs: int) -> None:
    assert sum(map(len, read(real_data / "senteval", f"STS{year}"))) == pairs


def test_subsets_are_sorted_as_the_toolkit_does(small_data: Path) -> None:
    for subset in read(small_data, "STS12"):
        rows = zip(subset.first, subset.second, subset.gold, strict=True)
        keys = [(len(a.split()), len(b.split()), score) for a, b, score in rows]
        assert keys == sorted(keys)


def test_carriage_returns_and_quotes_as_words_are_text(own_data: Path) -> None:
    first = read(own_data, "SICKRelatedness")[0]
    assert len(first) == 24
    assert not any("\r" in sentence for sentence in first.second)
    change_line(own_data / STSB_DEV, 2, b'g\tf\ty\t1\t2.5\ta " dog  sits\tthe\xc2\xa0cat " ')
    change_line(own_data / STSB_DEV, 3, "g\tf\ty\t1\t2.5\tone\u2028line\tand\x85another".encode())
    forget_checksums(own_data)
    pairs = read(own_data, "STSBenchmark", "dev")[0]
    assert (pairs.first[1], pairs.second[1]) == ('a " dog sits', 'the cat "')
    assert len(pairs) == 24


def test_a_truncated_gold_file_is_refused(own_data: Path, unlisted: Path) -> None:
    gold = own_data / STS12 / "STS.gs.MSRvid.txt"
    gold.write_bytes(gold.read_bytes()[:40])
    with pytest.raises(InputError, match=r"STS\.input\.MSRpar\.txt: 24 lines, expected 750 \(the official count\)"):
        read(unlisted, "STS12")
    forget_checksums(own_data)
    with pytest.raises(InputError, match=r"STS\.gs\.MSRvid\.txt: \d+ scores for the 24 pairs"):
        read(own_data, "STS12")


def test_a_file_that_differs_from_the_manifest_is_refused(own_data: Path) -> None:
    gold = own_data / STS12 / "STS.gs.MSRpar.txt"
    change_line(gold, 5, b"1.23")
    with pytest.raises(InputError, match=r"STS\.gs\.MSRpar\.txt: sha256 .* differs from manifest"):
        read(own_data, "STS12")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"5.3", r"MSRpar\.txt:7: score 5\.3 is outside 0 to 5"),
        (b"-0.1", r":7: score -0\.1 is outside"),
        (b"nan", r":7: score nan is outside"),
        (b"high", r":7: 'high' is not a score"),
        (b"", r":7: '' is not a score"),
        (b"\xff4", r":7: wrong encoding: byte 0xff is not utf-8"),
    ],
)
def test_a_bad_score_is_named_by_line(own_data: Path, line: bytes, message: str) -> None:
    change_line(own_data / STS12 / "STS.gs.MSRpar.txt", 7, line)
    forget_checksums(own_data)
    with pytest.raises(InputError, match=message):
        read(own_data, "STS12")


def test_a_pair_with_too_few_fields_is_named_by_line(own_data: Path) -> None:
    change_line(own_data / STS12 / "STS.input.MSRpar.txt", 9, b"only one sentence")
    change_line(own_data / STSB_DEV, 4, b"g\tf\ty\t1\t2.5\tone")
    forget_checksums(own_data)
    with pytest.raises(InputError, match=r"MSRpar\.txt:9: 1 fields, expected 2"):
        read(own_data, "STS12")
    with pytest.raises(InputError, match=r"sts-dev\.csv:4: 6 tab-separated fields, expected 7"):
        read(own_data, "STSBenchmark", "dev")


@pytest.mark.parametrize("sentence", ['"the dog', 'the do"g', '"the dog"', '""the"" dog'])
def test_a_stray_quote_in_the_official_file_is_refused(real_data: Path, tmp_path: Path, sentence: str) -> None:
    path = tmp_path / STSB_DEV
    path.parent.mkdir(parents=True)
    path.write_bytes((real_data / "senteval" / STSB_DEV).read_bytes())
    assert len(read(tmp_path, "STSBenchmark", "dev")[0]) == 1500
    change_line(path, 11, f"g\tf\ty\t1\t2.5\t{sentence}\tb".encode())
    with pytest.raises(InputError, match=r"sts-dev\.csv:11: stray quotation mark"):
        read(tmp_path, "STSBenchmark", "dev")


def test_a_quoted_score_is_refused(own_data: Path) -> None:
    change_line(own_data / STSB_DEV, 6, b'g\tf\ty\t1\t"2.5"\ta\tb')
    forget_checksums(own_data)
    with pytest.raises(InputError, match=r"sts-dev\.csv:6: '\"2\.5\"' is not a score"):
        read(own_data, "STSBenchmark", "dev")


def test_blanked_scores_of_the_official_files_are_counted(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "senteval/downstream/STS/STS16-en-test"
    target = tmp_path / "downstream/STS/STS16-en-test"
    target.mkdir(parents=True)
    for file in source.glob("STS.*"):
        (target / file.name).write_bytes(file.read_bytes())
    gold = target / "STS.gs.headlines.txt"
    scored = next(n for n, line in enumerate(gold.read_text().split("\n"), 1) if line)
    change_line(gold, scored, b"")
    with pytest.raises(InputError, match=r"STS\.gs\.headlines\.txt: 248 scores that are not blank, expected 249"):
        read(tmp_path, "STS16")


def test_other_encodings_are_refused(own_data: Path) -> None:
    path = own_data / STS12 / "STS.input.MSRpar.txt"
    path.write_bytes(path.read_text().encode("utf-16"))
    forget_checksums(own_data)
    with pytest.raises(InputError, match="wrong encoding: UTF-16"):
        read(own_data, "STS12")


def test_folders_that_are_not_senteval_are_refused(tmp_path: Path, small_data: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        DataFolder.open(tmp_path / "absent")
    with pytest.raises(InputError, match="no folder `downstream`"):
        DataFolder.open(tmp_path)
    with pytest.raises(InputError, match="did you mean"):
        DataFolder.open(small_data / "downstream")
    with pytest.raises(InputError, match="no split 'dev'"):
        read(small_data, "STS12", "dev")


def test_missing_and_unlisted_files_are_named(own_data: Path) -> None:
    (own_data / STSB_DEV).unlink()
    with pytest.raises(InputError, match=r"sts-dev\.csv: no such file"):
        read(own_data, "STSBenchmark", "dev")
    forget_checksums(own_data)
    (own_data / STSB_DEV).write_text("x\n")
    with pytest.raises(InputError, match=r"manifest\.json: does not list"):
        read(own_data, "STSBenchmark", "dev")
    (own_data / STSB_DEV).write_text("")
    with pytest.raises(InputError, match="the file is empty"):
        read(own_data, "STSBenchmark", "dev")


def test_scores_that_are_all_the_same_have_no_correlation(own_data: Path) -> None:
    path = own_data / STSB_DEV
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    path.write_text("".join("\t".join([*line[:4], "2.5", *line[5:]]) + "\n" for line in lines))
    forget_checksums(own_data)
    with pytest.raises(InputError, match=rf"all {len(lines)} pairs have the score 2\.5; a correlation needs others"):
        read(own_data, "STSBenchmark", "dev")
