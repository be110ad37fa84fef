"""The study in PostgreSQL, where it and its Python driver are installed: one writer, many readers."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from dalr.cluster.session import free_port
from dalr.sweeps.search.database import close_storage, database_url, open_storage
from dalr.sweeps.search.snapshot import read_state
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.spec.schema import SweepSpec
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of a server of our own."""
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("needs PostgreSQL's initdb and postgres, and psycopg")
    folder, port = Path("/tmp") / f"dalr-postgres-{free_port()}", free_port()
    # PostgreSQL refuses to run as root.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if Path("/root").owner() == _me() else {}
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    words = [initdb, "-D", str(folder / "data"), "-U", "dalr", "--auth=trust", "-E", "UTF8"]
    subprocess.run(words, check=True, capture_output=True, cwd="/", **user)
    words = [postgres, "-D", str(folder / "data"), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
    with (tmp_path_factory.mktemp("postgres") / "log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, cwd="/", **user)
        try:
            _wait_for(port)
            yield f"postgresql://dalr@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(timeout=60)
            shutil.rmtree(folder, ignore_errors=True)


def program(name: str) -> str | None:
    """A program of PostgreSQL's server, which Debian keeps out of the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, debian)]))


def _me() -> str:
    import getpass

    return getpass.getuser()


def _wait_for(port: int) -> None:
    import time

    ready = program("pg_isready")
    for _ in range(300):
        if ready and subprocess.run([ready, "-h", "127.0.0.1", "-p", str(port)], capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    raise RuntimeError("PostgreSQL does not come up")


def work(chosen: SweepSpec, out: Path, *, reports: int | None = None) -> None:
    """A driver's life, to its end or until it is killed."""
    storage = open_storage(database_url(chosen, out))
    try:
        fakes.work(coordinator(chosen, out, touch=False, storage=storage), reports=reports)
    finally:
        close_storage(storage)


def test_a_killed_sweep_goes_on_and_is_read_meanwhile(tmp_path: Path, database: str) -> None:
    chosen = spec(storage=database, try_first=[{"optim.learning_rate": 2e-3}], seeds={"final": 1})
    save_spec(chosen, tmp_path)
    work(chosen, tmp_path, reports=11)
    seen = read_state(tmp_path)
    assert seen.counts == {"complete": 2, "running": 1}
    work(chosen, tmp_path)
    assert pl.read_parquet(tmp_path / "trials.parquet")["trial"].to_list() == list(range(6))
    read = read_state(tmp_path)
    assert read.counts == {"complete": 6}
    assert [trial.point for trial in read.trials[:2]] == [trial.point for trial in seen.trials[:2]]
    assert len(read.finals) == 2
    assert not (tmp_path / "study.db").exists()
