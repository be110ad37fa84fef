"""A sweep whose runs lie on an S3-compatible server and whose study lies in PostgreSQL: real trainings of a tiny
student, by a driver that plays Tune and its workers in this process."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dalr.cluster.storage import mirror
from dalr.errors import InputError
from dalr.reports.build import build
from dalr.reports.options import Options
from dalr.sweeps.commands.extend import extend
from dalr.sweeps.commands.questions import best, status, why
from dalr.sweeps.execution import runner
from dalr.sweeps.execution.place import place_at
from dalr.sweeps.execution.trial import train_here
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.database import close_storage, only_writer, open_storage
from dalr.sweeps.spec.checks import check_place
from dalr.sweeps.spec.loading import parse_spec
from dalr.sweeps.spec.schema import SweepSpec
from tests.cluster.storage.s3_server import S3Server, use
from tests.sweeps.make import small_recipe, spec
from tests.sweeps.search import fakes
from tests.sweeps.search.test_postgres import database  # noqa: F401

pytestmark = pytest.mark.medium

OUT = "s3://bucket/sweeps/core"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: S3Server) -> None:
    use(server, tmp_path / "cache", monkeypatch)


class Killed(BaseException):
    """The driver and its workers are no more."""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> "Driver":
    driver = Driver()
    monkeypatch.setattr(runner, "_run_on_ray", driver.run)
    monkeypatch.setattr(mirror.Pushes, "on_failure", lambda self, error: None)  # who is killed stores nothing
    return driver


class Driver:
    """Does what Tune does; dies after so many reports."""

    reports: int | None = None

    def run(self, coordinator: Coordinator, *words: Any, **options: Any) -> None:
        fakes.work(coordinator, trainer=train_here, reports=self.reports)
        if self.reports is not None:
            raise Killed


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> dict[str, Any]:
    """Three trials of 8 steps, checkpoints every 3, and two final runs."""
    folder = tmp_path_factory.mktemp("remote")
    return {
        "recipe": str(small_recipe(folder, tiny_bert, steps=8, eval_every=4)),
        "overrides": {"train.checkpoint_every": 3},
        "space": {"optim.learning_rate": {"choice": [1e-3, 1e-4, 1e-5]}},
        "sampler": {"name": "grid"},
        "seeds": {"final": 1},
        "keep_models": "none",
    }


def outcome(folder: Path) -> dict[str, Any]:
    frame = pl.read_parquet(folder / "trials.parquet").drop("seconds")
    finals = pl.read_parquet(folder / "finals.parquet").drop("seconds")
    return {"trials": frame.rows(named=True), "finals": finals.rows(named=True)}


def test_a_remote_sweep_is_the_local_one_also_when_its_machine_is_lost(
    driver: Driver,
    values: dict[str, Any],
    server: S3Server,
    database: str,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runner.run_sweep(parse_spec(values), tmp_path / "local", quiet=True)

    remote = parse_spec({**values, "storage": database})
    driver.reports = 6  # in the second trial's last evaluation: steps 1 to 6 are stored
    with pytest.raises(Killed):
        runner.run_sweep(remote, OUT, quiet=True)
    status(Path(OUT))
    assert "1 complete, 0 pruned, 0 failed, 1 running" in " ".join(capsys.readouterr().out.split())

    shutil.rmtree(tmp_path / "cache")
    driver.reports = None
    runner.run_sweep(remote, OUT, quiet=True)
    copy = server.copy("sweeps/core", tmp_path / "copy")
    assert outcome(copy) == outcome(tmp_path / "local")
    runs = sorted(path.name for path in (copy / "runs").iterdir())
    assert runs == sorted(path.name for path in (tmp_path / "local" / "runs").iterdir())
    for run in runs:
        steps = Counter(
            json.loads(line)["step"] for line in (copy / "runs" / run / "metrics.jsonl").read_text().splitlines()
        )
        assert steps == dict.fromkeys(range(1, 9), 1), run
        starts = [
            each["start_step"] for each in json.loads((copy / "runs" / run / "provenance.json").read_text())["attempts"]
        ]
        assert starts == ([0, 6] if run == "trial-0001-seed-1" else [0]), run
        assert not (copy / "runs" / run / "checkpoints").exists() or run.startswith("final"), "superseded ones stay"
    assert (copy / "best.yaml").read_bytes() == (tmp_path / "local" / "best.yaml").read_bytes()
    mirrors = [path for path in (tmp_path / "cache" / "mirrors").rglob("*") if path.name in ("checkpoints", "model")]
    assert not mirrors, "what is stored takes no room on the nodes"

    (board,) = (table for table in build([copy], Options(with_figures=False)).tables if "leaderboard" in table.name)
    assert [row.label for row in board.measured] == [
        f"trial {row['trial']}" for row in sorted(outcome(copy)["trials"], key=lambda row: row["place"])
    ]
    capsys.readouterr()
    best(Path(OUT))
    why(Path(OUT), 1)
    said = capsys.readouterr().out
    assert "on sts_avg" in said
    assert "STSBenchmark.dev by step: 4: " in said
    with pytest.raises(InputError, match="copy the sweep to a disk first"):
        extend(Path(OUT), 0, ["train.steps=12"])


def test_a_failed_trial_s_error_is_stored(
    driver: Driver,
    values: dict[str, Any],
    server: S3Server,
    database: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*words: Any, **options: Any) -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr("dalr.training.loop.train", broken)
    chosen = parse_spec({**values, "storage": database, "budget": {"trials": 1}, "sampler": {"name": "random"}})
    runner.run_sweep(chosen, "s3://bucket/sweeps/failed", quiet=True)
    assert b"the disk is on fire" in server.read("sweeps/failed/runs/trial-0000-seed-1/error.txt")
    why(Path("s3://bucket/sweeps/failed"), 0)
    assert "RuntimeError: the disk is on fire" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"^out s3://bucket/a: a sweep's database needs .*give storage=postgresql://"),
        ({"storage": "sqlite:////nfs/a.db"}, "a sweep's database needs"),
        (
            {"storage": "postgresql://u@h/d", "resources": {"workers": 2}},
            "its trials have one worker; resources.workers=2 needs a folder",
        ),
    ],
)
def test_what_needs_a_shared_disk_says_so(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_place(spec(**changes), "s3://bucket/a")


def test_a_folder_needs_nothing(tmp_path: Path) -> None:
    check_place(spec(resources={"workers": 2}), str(tmp_path))
    assert place_at(tmp_path).uri == str(tmp_path)


def test_one_driver_a_study(database: str) -> None:  # noqa: F811
    """Also of drivers whose folders are not the same; after its end the next one may work."""
    chosen: SweepSpec = spec(storage=database)
    storages = [open_storage(str(chosen.storage)) for _ in range(2)]
    try:
        with only_writer(storages[0], "a"):
            refused = pytest.raises(InputError, match=r"another `dalr sweep` works on this search \(a in postgres\)")
            with refused, only_writer(storages[1], "a"):
                pass
            with only_writer(storages[1], "b"):
                pass
        with only_writer(storages[1], "a"):
            pass
    finally:
        for storage in storages:
            close_storage(storage)
