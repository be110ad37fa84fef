"""Shared by all tests: where the real data is, one thread a process, no network, a tiny encoder, one Ray."""

import gc
import itertools
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The driver and the workers of a test share one machine; token files would outlive the test.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Ray starts its workers with niceness 15: tests without Ray, in another process, would hold them up.
os.environ.setdefault("RAY_worker_niceness", "0")
# The driver of a training run looks this often whether its workers have ended; Ray's own interval is 2 s.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")

# Folders of tests lie in memory where it has room for them: on a disk, the fsync of each commit of a study and the
# removal of the folders take minutes.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Collecting the tests imports what stays: nothing of it is garbage.
gc.disable()

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests import ROOT

if TYPE_CHECKING:
    from tests.cluster.ray_node import Node

# It would be the data root of every config made here. The processes that pytest-xdist starts get it by another name.
DALR_DATA = os.environ.pop("DALR_DATA", None) or os.environ.get("DALR_TEST_DATA")
if DALR_DATA:
    os.environ["DALR_TEST_DATA"] = DALR_DATA


def data_folder() -> Path | None:
    """The folder of real data: `DALR_DATA`, else ../shared/data beside the repository, else None."""
    folder = Path(DALR_DATA) if DALR_DATA else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; skips the test where it is absent."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no real data: set DALR_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: a random 2-layer BERT, 32 wide, dropout 0, with a word-piece tokenizer over
    letters and common English words; the same weights every time."""
    from tests.tiny import write_tiny_bert

    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    write_tiny_bert(folder)
    return folder


class RayInTwoProcesses(LoadScopeScheduling):
    """Where tests run in several processes, each file runs in one of them. All files that share a cluster with others
    run in the same one, and so do those that start their own: more of Ray at once would starve each other. Those whose
    processes are forked from a server share it, too."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return shared_by(ROOT / file) or file


@cache
def shared_by(file: Path) -> str | None:
    """What the tests of a file have in common with other files': a `shared` cluster, Ray on their `own`, a server of
    `forks`, or nothing."""
    text = file.read_text(encoding="utf-8")
    if "pytest.mark.cluster" not in text:
        return "forks" if re.search(r"^from tests\.(processes|faults\.inject) import", text, re.MULTILINE) else None
    return "shared" if re.search(r"(?<![.\w])(ray_cluster|head)(: \w+)?[,)]", text) else "own"


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> RayInTwoProcesses:
    config.option.loadscopereorder = False  # by the number of tests; here the first of the sorted ones come first
    return RayInTwoProcesses(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with Ray come first: those that share this process's cluster, those that share a head node, then those
    that start their own; then those that take longer than the rest: a process that began with one at the end would
    run alone."""
    items.sort(
        key=lambda item: (
            item.get_closest_marker("cluster") is None,
            "ray_cluster" not in fixtures_of(item),
            "head" not in fixtures_of(item),
            item.get_closest_marker("medium") is None,
        )
    )


def pytest_collection_finish() -> None:
    leave_out_of_collections()
    gc.enable()


def pytest_runtest_logfinish() -> None:
    if next(ENDED) % 25 == 0:
        leave_out_of_collections()


ENDED = itertools.count(1)
"""Tests that have ended."""


def leave_out_of_collections() -> None:
    """What is there now mostly stays, as imports do: garbage collections, which tests of sweeps ask for by the
    hundred, need not look through it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # some libraries report what is left at the end


def fixtures_of(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


SHARED_RAY = ExitStack()


@pytest.fixture
def ray_cluster() -> None:
    """This process is connected to a Ray cluster of two CPUs, which tests in a row share."""
    import ray

    from dalr.cluster.session import ray_session

    if not ray.is_initialized():
        SHARED_RAY.enter_context(ray_session(cpus=2, quiet=True))


@pytest.fixture(scope="session")
def head() -> "Iterator[Node]":
    """A head node of two CPUs without authentication, for the whole session."""
    from tests.cluster.ray_node import start_head

    folder = Path(tempfile.mkdtemp(prefix="dalr-"))
    node = start_head(folder)
    yield node
    node.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def no_shared_ray(request: pytest.FixtureRequest) -> None:
    """A test that does not ask for the shared cluster does not find itself connected to it."""
    if "ray_cluster" not in request.fixturenames:
        SHARED_RAY.close()


@pytest.fixture(autouse=True)
def no_claimed_device() -> Iterator[None]:
    """What training in this process hides of the machine's GPUs is there for the next test."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    yield
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if before is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = before


@pytest.fixture(autouse=True)
def unlogged() -> None:
    """What the package logs reaches `caplog`, also behind a test of the command line, which takes it to stderr."""
    logger = logging.getLogger("dalr")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def stop_shared_ray() -> Iterator[None]:
    yield
    SHARED_RAY.close()
