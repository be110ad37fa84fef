"""Shared by the tests of the cluster: a head node."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.ray_node import Node, start_head


@pytest.fixture(scope="session")
def head() -> Iterator[Node]:
    """A head node without authentication, for the whole session."""
    folder = Path(tempfile.mkdtemp(prefix="dalr-"))
    node = start_head(folder)
    yield node
    node.stop()
    shutil.rmtree(folder, ignore_errors=True)
