"""Downloads and unpacking, against a local server with faults and against malicious archives."""

import hashlib
import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dalr.data.manifest import read_manifest
from dalr.datasets import fetch
from dalr.datasets.archive import extract_tar
from dalr.datasets.check import FileReport, check_senteval
from dalr.datasets.commands import fetch as fetch_command
from dalr.datasets.download import FetchError, download
from dalr.datasets.embedded import make_embedded_data
from dalr.errors import InputError
from tests.dalr.datasets.http_folder import HttpFolder, served

CONTENT = random.Random(0).randbytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[HttpFolder]:
    with served(HttpFolder({"data.bin": CONTENT})) as folder:
        yield folder


def get(server: HttpFolder, target: Path, **options: object) -> str:
    settings = {"quiet": True, "wait": 0.01, "attempts": 3} | options
    return download(f"{server.address}/data.bin", target, **settings).verified  # type: ignore[arg-type]


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_with_its_source(server: HttpFolder, tmp_path: Path) -> None:
    source = download(f"{server.address}/data.bin", tmp_path / "new" / "data.bin", quiet=True)
    assert (tmp_path / "new" / "data.bin").read_bytes() == CONTENT
    assert (source.bytes, source.sha256, source.verified) == (len(CONTENT), DIGEST, "first use")
    assert left_over(tmp_path / "new") == ["data.bin"]


def test_a_cut_connection_goes_on_where_it_was_cut(server: HttpFolder, tmp_path: Path) -> None:
    server.cuts = [100_000, 50_000]
    get(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    # Whole blocks of 8 KiB are kept.
    assert [wanted for _, wanted in server.asked] == [None, "bytes=98304-", "bytes=147456-"]


def test_the_next_call_goes_on_where_the_last_gave_up(server: HttpFolder, tmp_path: Path) -> None:
    server.cuts, server.statuses = [100_000], [0, 503, 503, 503]
    with pytest.raises(FetchError, match=r"503 .*98304 bytes are kept in .*data\.bin\.part"):
        get(server, tmp_path / "data.bin")
    assert not (tmp_path / "data.bin").exists()
    get(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.asked[-1] == ("data.bin", "bytes=98304-")
    assert left_over(tmp_path) == ["data.bin"]


def test_a_file_that_changed_in_between_is_fetched_anew(server: HttpFolder, tmp_path: Path) -> None:
    server.cuts = [100_000]
    with pytest.raises(FetchError, match="cut again and again"):
        get(server, tmp_path / "data.bin", attempts=1)
    other = CONTENT[::-1]
    server.files["data.bin"] = other
    get(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == other


@pytest.mark.parametrize(("ranges", "etags"), [(False, True), (True, False)])
def test_without_ranges_or_a_validator_it_starts_over(
    server: HttpFolder, tmp_path: Path, ranges: bool, etags: bool
) -> None:
    server.ranges, server.etags, server.cuts = ranges, etags, [100_000]
    get(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_download_that_was_complete_but_not_renamed_is_taken(server: HttpFolder, tmp_path: Path) -> None:
    server.cuts = [299_999, 1]
    with pytest.raises(FetchError):
        get(server, tmp_path / "data.bin", attempts=1)
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    get(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=300000-"


def test_a_part_longer_than_the_file_is_thrown_away(server: HttpFolder, tmp_path: Path) -> None:
    server.cuts = [10]
    with pytest.raises(FetchError):
        get(server, tmp_path / "data.bin", attempts=1)
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"more")
    get(server, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server: HttpFolder, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    get(server, tmp_path / "data.bin")
    assert len(server.asked) == 3


def test_a_missing_file_is_not_asked_for_again(server: HttpFolder, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"nothing\.bin: the server answers 404 Not Found") as raised:
        download(f"{server.address}/nothing.bin", tmp_path / "x", quiet=True)
    assert len(server.asked) == 1
    assert "\n" not in str(raised.value)
    assert left_over(tmp_path) == []


def test_no_server_is_one_clear_line(tmp_path: Path) -> None:
    with served(HttpFolder({})) as gone:
        address = gone.address
    with pytest.raises(FetchError, match="no connection to the server"):
        download(f"{address}/x", tmp_path / "x", attempts=2, wait=0.01, quiet=True)


@pytest.mark.parametrize(("option", "kind"), [("sha256", "pinned"), ("first_use", "first use")])
def test_a_wrong_checksum_keeps_nothing(server: HttpFolder, tmp_path: Path, option: str, kind: str) -> None:
    (tmp_path / "data.bin").write_bytes(b"the old one")
    with pytest.raises(FetchError, match=f"differs from the {kind} one, {'0' * 64}"):
        get(server, tmp_path / "data.bin", **{option: "0" * 64})
    assert (tmp_path / "data.bin").read_bytes() == b"the old one"
    assert left_over(tmp_path) == ["data.bin"]
    assert get(server, tmp_path / "data.bin", **{option: DIGEST}) == kind


def test_the_hub_names_the_checksum_in_its_redirect(server: HttpFolder, tmp_path: Path) -> None:
    server.hub, server.cuts = True, [1000]
    assert get(server, tmp_path / "data.bin") == "published"
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    server.lie = "1" * 64
    with pytest.raises(FetchError, match="differs from the published one"):
        get(server, tmp_path / "data.bin")


# Archives


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def archive_of(path: Path, *members: tarfile.TarInfo, content: bytes = b"evil") -> Path:
    with tarfile.open(path, "w") as tar:
        tar.addfile(*_with_content(member("good/file.txt"), b"good"))
        for info in members:
            tar.addfile(*(_with_content(info, content) if info.isreg() else (info, None)))
    return path


def _with_content(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info.size = len(content)
    return info, io.BytesIO(content)


@pytest.mark.parametrize(
    ("evil", "says"),
    [
        (member("../evil.txt"), "would leave the target folder"),
        (member("good/../../evil.txt"), "would leave the target folder"),
        (member("/tmp/evil.txt"), "would leave the target folder"),
        (member("..\\evil.txt"), "would leave the target folder"),
        (member("C:\\evil.txt"), "would leave the target folder"),
        (member("link", tarfile.SYMTYPE, "/etc"), "is a link"),
        (member("link", tarfile.SYMTYPE, "good"), "is a link"),
        (member("hard", tarfile.LNKTYPE, "/etc/passwd"), "is a link"),
        (member("pipe", tarfile.FIFOTYPE), "is a device or another special file"),
        (member("null", tarfile.CHRTYPE), "is a device or another special file"),
        (member("disk", tarfile.BLKTYPE), "is a device or another special file"),
    ],
)
def test_a_malicious_archive_is_refused_before_anything_is_written(
    tmp_path: Path, evil: tarfile.TarInfo, says: str
) -> None:
    path = archive_of(tmp_path / "a.tar", evil)
    with pytest.raises(FetchError, match=says):
        extract_tar(path, tmp_path / "deep" / "out")
    assert left_over(tmp_path) == ["a.tar"]


def test_too_much_is_refused(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.tar", member("big"), content=bytes(5000))
    with pytest.raises(FetchError, match="unpacks to 5004 bytes, more than the 5000 allowed"):
        extract_tar(path, tmp_path / "out", max_bytes=5000)
    with pytest.raises(FetchError, match="more than 1 members"):
        extract_tar(path, tmp_path / "out", max_members=1)
    assert left_over(tmp_path) == ["a.tar"]


def test_what_is_not_a_whole_archive_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"<html>sign in</html>" * 100)
    with pytest.raises(FetchError, match="not a readable tar archive"):
        extract_tar(tmp_path / "a.tar", tmp_path / "out")
    path = archive_of(tmp_path / "b.tar", member("big"), content=bytes(50_000))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(FetchError, match="not a readable tar archive"):
        extract_tar(path, tmp_path / "out")


# Corpora


def packed(downstream: Path) -> bytes:
    """The tasks' folders at the top of an archive, as SimCSE packs them, with a file of macOS's."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in sorted(downstream.iterdir()):
            tar.add(folder, arcname=folder.name)
        tar.addfile(*_with_content(member("._STS"), b"macOS"))
    return archive.getvalue()


@pytest.fixture(scope="module")
def small_senteval(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_embedded_data(tmp_path_factory.mktemp("made")) / "senteval"


def fetch_twice(content: bytes, out: Path) -> None:
    with served(HttpFolder({"senteval.tar": content}, hub=True, cuts=[200_000])) as server:
        assert "published" in fetch.fetch_senteval(out, mirror=server.address, quiet=True)
        assert left_over(out) == ["manifest.json", "senteval"]
        assert left_over(out / "senteval") == ["downstream", "manifest.json"]
        manifest = read_manifest(out / "senteval")
        assert manifest is not None
        assert manifest.sources["senteval.tar"].sha256 == hashlib.sha256(content).hexdigest()
        asked = len(server.asked)
        assert "there already" in fetch.fetch_senteval(out, mirror=server.address, quiet=True)
        assert len(server.asked) == asked


def test_senteval_is_fetched_checked_and_recorded(
    small_senteval: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_by_small_counts(folder: Path) -> list[FileReport]:
        """The same check, with the small data's row counts in place of the official ones."""
        if read_manifest(folder) is None:
            shutil.copy(small_senteval / "manifest.json", folder)
        return check_senteval(folder)

    monkeypatch.setattr(fetch, "check_senteval", check_by_small_counts)
    fetch_twice(packed(small_senteval / "downstream"), tmp_path)
    (tmp_path / "senteval" / "downstream" / "MR" / "rt-polarity.pos").write_text("cut\n")
    with pytest.raises(InputError, match="1 of its files are not sound"):
        fetch.fetch_senteval(tmp_path, quiet=True)


@pytest.mark.slow
def test_the_real_senteval_passes_its_checks(real_data: Path, tmp_path: Path) -> None:
    fetch_twice(packed(real_data / "senteval" / "downstream"), tmp_path)
    manifest = read_manifest(tmp_path / "senteval")
    assert manifest is not None
    assert manifest.files["downstream/SUBJ/subj.subjective"].rows == 5000


def test_an_archive_of_other_data_leaves_nothing_behind(small_senteval: Path, tmp_path: Path) -> None:
    content = packed(small_senteval / "downstream")
    with (
        served(HttpFolder({"senteval.tar": content})) as server,
        pytest.raises(FetchError, match=r"not SentEval's official ones: .*expected 750"),
    ):
        fetch.fetch_senteval(tmp_path, mirror=server.address, quiet=True)
    assert left_over(tmp_path) == ["senteval.tar"]


def test_wiki1m_is_held_against_its_first_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "WIKI1M_ROWS", range(2, 4))
    with served(HttpFolder({fetch.WIKI1M: "one é\ntwo\n".encode()})) as server:
        assert "first use" in fetch.fetch_wiki1m(tmp_path, mirror=server.address, quiet=True)
        assert "there already" in fetch.fetch_wiki1m(tmp_path, mirror=server.address, quiet=True)
        (tmp_path / fetch.WIKI1M).write_text("one\ntwo, changed\n")
        with pytest.raises(InputError, match=r"differs from .*manifest\.json"):
            fetch.fetch_wiki1m(tmp_path, mirror=server.address, quiet=True)
        (tmp_path / fetch.WIKI1M).unlink()
        server.files[fetch.WIKI1M] = b"another\nfile\n"
        with pytest.raises(FetchError, match="differs from the first use one"):
            fetch.fetch_wiki1m(tmp_path, mirror=server.address, quiet=True)
    assert left_over(tmp_path) == ["manifest.json"]


def test_the_hub_is_asked_as_the_environment_says(tmp_path: Path) -> None:
    """Another endpoint and a token; the token is for the Hub, not for the host that it redirects to."""
    path = f"datasets/{fetch.HUB_DATASET}/resolve/main/{fetch.WIKI1M}"
    command = [sys.executable, "-m", "dalr", "data", "fetch", "wiki1m", "--out", str(tmp_path)]
    with served(HttpFolder({path: b"a sentence\n" * 1_000_000}, hub=True)) as server:
        server.cdn = server.address.replace("127.0.0.1", "localhost")
        hub = {"HF_ENDPOINT": server.address, "HF_TOKEN": "hf_secret"}
        offline = subprocess.run(
            command, env=os.environ | hub | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
        )
        assert (offline.returncode, server.tokens) == (2, [])
        assert "HF_HUB_OFFLINE is set, so wiki1m_for_simcse.txt is not taken from the Hub" in offline.stderr
        done = subprocess.run(
            command, env=os.environ | hub | {"HF_HUB_OFFLINE": "0"}, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert "published" in done.stdout
    assert server.tokens == ["Bearer hf_secret", None]
    assert "hf_secret" not in (tmp_path / "manifest.json").read_text()


@pytest.mark.parametrize(("content", "says"), [(b"only\n", "1 lines, expected"), (b"\xff\xfe\nx\n", "not UTF-8")])
def test_a_wiki1m_of_other_content_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str
) -> None:
    monkeypatch.setattr(fetch, "WIKI1M_ROWS", range(2, 4))
    with served(HttpFolder({fetch.WIKI1M: content})) as server, pytest.raises(FetchError, match=says):
        fetch.fetch_wiki1m(tmp_path, mirror=server.address, quiet=True)
    assert left_over(tmp_path) == []


def test_what_needs_an_agreement_is_explained_until_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_command(["flickr30k"], out=tmp_path, mirror=None, quiet=False) == 2
    printed = capsys.readouterr()
    assert "agreement" in printed.err
    assert f"{tmp_path}/flickr30k/dataset_flickr30k.json" in printed.err
    (tmp_path / "flickr30k" / "images").mkdir(parents=True)
    (tmp_path / "flickr30k" / "dataset_flickr30k.json").write_text("{}")
    assert fetch_command(["flickr30k"], out=tmp_path, mirror=None, quiet=False) == 0
    assert "there already" in capsys.readouterr().out


def test_the_places_are_those_of_the_recipes() -> None:
    from dalr.config.recipes import RECIPES

    for name, corpus in (("dalr", "flickr30k"), ("dalr_coco", "coco")):
        data = RECIPES[name]().data
        assert fetch.MANUAL[corpus].files == (data.captions, data.images)
        assert data.text == fetch.WIKI1M


def test_an_unknown_name_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown data 'sentevl'; did you mean senteval\?"):
        fetch_command(["wiki1m", "sentevl"], out=tmp_path / "out", mirror="http://127.0.0.1:9", quiet=True)
    assert left_over(tmp_path) == []
