"""Shared by all tests: where the real data is, one thread a process, no network, a tiny encoder."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The driver and the workers of a test share one machine; token files would outlive the test.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import pytest

# It would be the data root of every config made here.
DALR_DATA = os.environ.pop("DALR_DATA", None)


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
