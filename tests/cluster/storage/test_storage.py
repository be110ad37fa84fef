"""Runs that are kept on an S3-compatible server: stored, resumed, refused, and what happens when it fails."""

import io
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from pyarrow.fs import LocalFileSystem
from ray.train.v2._internal.execution.storage import get_fs_and_path

from dalr.__main__ import main
from dalr.cluster.api.training import train_here
from dalr.cluster.jobs.submit import checked_command
from dalr.cluster.storage.filesystems import StorageFailed, location
from dalr.cluster.storage.remote_folder import RemoteFolder
from dalr.cluster.storage.storage import storage_at
from dalr.config.overrides import to_yaml, with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.files import write_text
from dalr.training.callbacks import Callback, Outcome, StopTraining
from dalr.training.loop import train
from tests.cluster.storage.s3_server import S3Server, use
from tests.small_run import small_config, write_corpora

pytestmark = pytest.mark.medium

COMPLETE = ["meta.json", "objective.safetensors", "optimizer.pt", "student.safetensors"]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: S3Server) -> None:
    use(server, tmp_path / "cache", monkeypatch)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> RunConfig:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpora(folder, np.random.default_rng(0))
    return small_config(folder, tiny_bert, model__dropout=0.1)  # checkpoints after steps 3, 6 and 8


@pytest.fixture(scope="module")
def undisturbed(small: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in a local folder."""
    out = tmp_path_factory.mktemp("undisturbed")
    train(small, out, quiet=True)
    return out


@pytest.fixture
def run(request: pytest.FixtureRequest) -> str:
    """A folder in the bucket for each test."""
    return f"runs/{request.node.name}"


class At(Callback):
    """Does something at a step or a checkpoint, before the run is stored."""

    def __init__(self, step: int | None = None, checkpoints: Mapping[int, object] | None = None) -> None:
        self._stop = step
        self._checkpoints = checkpoints or {}

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        if step == self._stop:
            raise StopTraining("enough")

    def on_checkpoint(self, step: int) -> None:
        act = self._checkpoints.get(step)
        if callable(act):
            act()


def train_at(config: RunConfig, run: str, *callbacks: Callback) -> Outcome:
    """As `dalr train --local`, with callbacks of the test's own."""
    storage = storage_at(f"s3://bucket/{run}")
    storage.check(config)
    storage.push_pending(config)
    storage.fetch()
    everyone: Sequence[Callback] = [*callbacks, *storage.callbacks(config)]
    return train(config, storage.folder.path, callbacks=everyone, quiet=True, display_name=storage.folder.display_name)


def losses(out: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


def assert_same_run(found: Path, expected: Path, *, attempts: int) -> None:
    """The model, the checkpoint of the last step and the losses are the same bit for bit."""
    for name in ("model/model.safetensors", "checkpoints/step-000008/student.safetensors"):
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name
    assert losses(found) == losses(expected)
    assert len(json.loads((found / "provenance.json").read_text())["attempts"]) == attempts


def test_a_remote_run_is_the_local_run_and_leaves_nothing_behind(
    server: S3Server, small: RunConfig, undisturbed: Path, run: str, tmp_path: Path
) -> None:
    storage = storage_at(f"s3://bucket/{run}/")
    storage.check(small)
    assert train_here(small.of_recipe("dalr"), storage, trackers=["tensorboard"], quiet=True).finished
    assert_same_run(server.copy(run, tmp_path / "copy"), undisturbed, attempts=1)
    best = json.loads(server.read(f"{run}/checkpoints/step-000008/meta.json"))["best_step"]
    assert server.checkpoints(run) == dict.fromkeys(sorted({best, 8}), COMPLETE)
    assert any(name.startswith("tensorboard/") for name in server.names(run))
    assert {"config.json", "model.safetensors", "modules.json"} <= set(server.names(f"{run}/model"))
    assert not storage.folder.path.exists()  # what is stored takes no room here


@pytest.mark.parametrize("lost", [True, False], ids=["mirror_lost", "mirror_kept"])
def test_a_stopped_run_goes_on_from_what_is_stored(
    server: S3Server, small: RunConfig, undisturbed: Path, run: str, tmp_path: Path, lost: bool
) -> None:
    assert train_at(small, run, At(step=4)).reason == "enough"
    assert max(server.checkpoints(run)) == 4
    if lost:
        shutil.rmtree(tmp_path / "cache")
    assert train_at(small, run).finished
    assert_same_run(server.copy(run, tmp_path / "copy"), undisturbed, attempts=2)


def test_the_best_and_the_last_n_are_kept(server: S3Server, small: RunConfig, run: str, tmp_path: Path) -> None:
    many = with_overrides(small, {"train.keep": 2, "train.checkpoint_every": 1})
    train_at(many, run, At(step=5))
    shutil.rmtree(tmp_path / "cache")  # the next attempt has the newest and the best one only
    train_at(many, run, At(step=6))
    found = server.checkpoints(run)
    best = json.loads(server.read(f"{run}/checkpoints/step-000006/meta.json"))["best_step"]
    assert found == dict.fromkeys(sorted({best, 5, 6}), COMPLETE)


def test_an_incomplete_checkpoint_is_no_checkpoint(
    server: S3Server, small: RunConfig, undisturbed: Path, run: str, tmp_path: Path
) -> None:
    train_at(small, run, At(step=4))
    for step, file in ((5, "student.safetensors"), (6, "optimizer.pt")):
        server.write(f"{run}/checkpoints/step-{step:06d}/{file}", b"half")
    shutil.rmtree(tmp_path / "cache")
    assert train_at(small, run).finished
    assert_same_run(server.copy(run, tmp_path / "copy"), undisturbed, attempts=2)
    assert all(files == COMPLETE for files in server.checkpoints(run).values())


def test_a_damaged_checkpoint_is_set_aside_for_an_earlier_one(
    server: S3Server, small: RunConfig, undisturbed: Path, run: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train_at(with_overrides(small, {"train.keep": 3}), run, At(step=4))
    server.write(f"{run}/checkpoints/step-000004/optimizer.pt", b"rotten")
    assert train_at(with_overrides(small, {"train.keep": 3}), run).finished  # with the good one still in the mirror
    assert "attempts" in json.loads(server.read(f"{run}/provenance.json"))
    assert "step-000004" in caplog.text
    assert "earlier checkpoint takes its place" in caplog.text
    assert f"{run}/checkpoints/step-000004.damaged/optimizer.pt" in [f"{run}/{name}" for name in server.names(run)]
    assert_same_run(server.copy(run, tmp_path / "copy"), undisturbed, attempts=2)


def test_a_push_that_fails_is_a_warning_and_made_up_for(
    server: S3Server,
    small: RunConfig,
    undisturbed: Path,
    run: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    upload, seen = RemoteFolder.upload, []

    def broken(self: RemoteFolder, path: Path, name: str) -> None:
        if name == "checkpoints/step-000003/optimizer.pt" and not seen:
            seen.append(server.checkpoints(run))
            raise StorageFailed(f"{self.display_name}/{name}: the line is cut")
        upload(self, path, name)

    monkeypatch.setattr(RemoteFolder, "upload", broken)
    assert train_at(small, run).finished
    assert seen == [{3: ["objective.safetensors"]}]
    assert "the line is cut; step 3 is not stored yet, the next checkpoint makes up for it" in caplog.text
    assert_same_run(server.copy(run, tmp_path / "copy"), undisturbed, attempts=1)
    assert all(files == COMPLETE for files in server.checkpoints(run).values())


def test_what_the_last_push_could_not_bring_is_brought_by_the_same_command(
    server: S3Server, small: RunConfig, undisturbed: Path, run: str, tmp_path: Path
) -> None:
    try:
        with pytest.raises(StorageFailed, match=f"s3://bucket/{run}.*; the same command continues") as caught:
            train_at(small, run, At(checkpoints={6: server.stop}))
    finally:
        server.start_again()
    assert "\n" not in str(caught.value)
    assert max(server.checkpoints(run)) == 3
    assert train_at(small, run).finished
    copy = server.copy(run, tmp_path / "copy")
    assert_same_run(copy, undisturbed, attempts=2)
    assert json.loads((copy / "provenance.json").read_text())["attempts"][1]["start_step"] == 8  # nothing done again


def test_of_two_attempts_the_later_one_goes_on(
    server: S3Server, small: RunConfig, undisturbed: Path, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_machine() -> None:
        monkeypatch.setenv("DALR_CACHE", str(tmp_path / "other"))
        assert train_at(small, run).finished

    with pytest.raises(StorageFailed, match="another attempt at this run has begun"):
        train_at(small, run, At(checkpoints={6: other_machine}))
    assert_same_run(server.copy(run, tmp_path / "copy"), undisturbed, attempts=2)


def test_another_configs_run_is_refused_before_anything_starts(server: S3Server, small: RunConfig, run: str) -> None:
    train_at(small, run, At(step=1))
    before = server.read(f"{run}/metrics.jsonl")
    with pytest.raises(InputError, match=r"s3://bucket/.*holds another run; train.seed was 1, is 2"):
        storage_at(f"s3://bucket/{run}").check(with_overrides(small, {"train.seed": 2}))
    assert server.read(f"{run}/metrics.jsonl") == before


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("s3://nowhere/a", "s3://nowhere/a.*there is no such bucket"),
        ("s3://bucket/a?scheme=http&endpoint_override=127.0.0.1:1", "s3://bucket/a.*cannot be reached.*endpoint"),
        ("s3://bucket/a?endpoint=x", "unknown option 'endpoint'; known: region"),
        ("s3:///a", "no bucket; expected s3://bucket/path"),
        ("ftp://host/a", "ftp://host/a.*expected s3://bucket/path, gs://"),
        ("file://host/a", "expected file:///path"),
    ],
)
def test_a_place_that_cannot_be_is_one_line_and_exit_code_2(
    out: str,
    says: str,
    small: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_text(tmp_path / "config.yaml", to_yaml(small))
    monkeypatch.setattr(sys, "argv", ["dalr", "train", str(tmp_path / "config.yaml"), "--local", "--out", out])
    began = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(says, line), line
    assert time.monotonic() - began < 30


def test_keys_that_are_refused_are_named(server: S3Server, small: RunConfig, run: str) -> None:
    server.ask_for_keys(True)
    try:
        with pytest.raises(InputError, match=r"^out s3://bucket/.*credentials are missing or not allowed") as caught:
            storage_at(f"s3://bucket/{run}").check(small)
    finally:
        server.ask_for_keys(False)
    assert "\n" not in str(caught.value)


def test_a_file_uri_is_a_shared_folder(tmp_path: Path) -> None:
    assert storage_at((tmp_path / "a b").as_uri()).folder.path == tmp_path / "a b"


def test_this_shells_endpoint_and_region_travel_with_the_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://minio.example:9000/")
    place = location("s3://bucket/runs/a/")
    assert place.display_name == "s3://bucket/runs/a"
    assert "endpoint_override=minio.example%3A9000&scheme=https&region=us-east-1" in place.uri
    assert location(place.uri) == place  # the same on another machine
    assert place.open()[1] == "bucket/runs/a"


@pytest.mark.parametrize(
    ("out", "variable"),
    [
        ("s3://AKIAX:hunter2@bucket/a", "AWS_SECRET_ACCESS_KEY"),
        ("s3://hunter2@bucket/a", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket/a?secret_key=hunter2", "AWS_SECRET_ACCESS_KEY"),
        ("gs://bucket/a?access_token=hunter2", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("abfs://container:hunter2@account.blob.core.windows.net/a", "AZURE_CLIENT_SECRET"),
        ("abfs://:hunter2@account.blob.core.windows.net/container/a", "AZURE_CLIENT_SECRET"),
    ],
)
def test_keys_are_refused_before_they_are_written_down(out: str, variable: str) -> None:
    with pytest.raises(InputError, match=f"^out .*{variable}") as caught:
        storage_at(out)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(InputError, match=variable) as caught:
        checked_command(["train", "dalr", "--out", out])
    assert "hunter2" not in str(caught.value)


ODD_NAMES = ["a?b", "a#b", "a%20b", "a%b", "a b", "a:b", "ä 中", "a&b=c", "a+b", "a{b}", "a'b"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_name_of_a_folder_is_kept(name: str, small: RunConfig, tmp_path: Path) -> None:
    """As a path, as a URI, and in what Ray is told of it."""
    path = tmp_path / name
    for out in (path, str(path), path.as_uri()):
        storage = storage_at(out)
        storage.check(small)
        assert storage.folder.path == path
        assert storage_at(storage.uri).folder.path == path
        filesystem, inside = get_fs_and_path(**storage.ray_options())
        assert Path(inside) == path / ".ray"
        assert isinstance(filesystem, LocalFileSystem)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_name_of_a_remote_folder_is_kept(name: str, server: S3Server) -> None:
    run = "runs/odd"
    storage = storage_at(f"s3://bucket/{run}/{quote(name)}")
    again = storage_at(storage.uri)
    folder = RemoteFolder.at(location(again.uri))
    folder.write("x", b"1")
    assert f"{name}/x" in server.names(run)
    assert RemoteFolder.at(location(storage.uri)).files() == {"x": 1}


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("s3://bucket/a?b", "'b' is no option NAME=VALUE; write %3F"),
        ("s3://bucket/a#b", "ends at #; write %23"),
        ("gs://bucket/a#b", "ends at #; write %23"),
        ("gs://bucket/a?b", "write %3F"),
        ("file:///nfs/a?b", "write %3F and %23"),
        ("file:///nfs/a#b", "write %3F and %23"),
    ],
)
def test_a_uri_that_says_less_than_it_looks_is_refused(out: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        storage_at(out)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["encode", "s3://bucket/a/model"],
            "model s3://bucket/a/model: not on this",
        ),
        (
            ["train", "quickstart", "--report", "--out", "s3://bucket/a"],
            "--report: s3://bucket/a is not on this machine",
        ),
    ],
)
def test_what_needs_a_folder_of_this_machine_says_so(
    words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dalr", *words])
    monkeypatch.setattr(sys, "stdin", io.StringIO("A dog runs."))
    with pytest.raises(SystemExit) as ended:
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert (ended.value.code, says in line) == (2, True), line


@pytest.mark.parametrize("out", ["", " "])
def test_an_empty_out_is_no_folder(out: str) -> None:
    """A shell's variable that is not set: the run would lie in the working directory."""
    with pytest.raises(InputError, match="out is empty"):
        storage_at(out)
