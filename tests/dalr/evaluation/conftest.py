"""Small data in SentEval's layout, made once a session and copied by tests that damage it."""

import shutil
from pathlib import Path

import pytest

from tests.dalr.evaluation.small_data import write_small_data


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("senteval"))


@pytest.fixture
def own_data(small_data: Path, tmp_path: Path) -> Path:
    """A copy of the small data that the test may change."""
    return Path(shutil.copytree(small_data, tmp_path / "data"))


@pytest.fixture
def unlisted(own_data: Path) -> Path:
    """The copy without its manifest, so that the official row counts apply."""
    (own_data / "manifest.json").unlink()
    return own_data
