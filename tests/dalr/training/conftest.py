"""Configs of settings that change what a step asks of its device."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dalr import extensions
from tests.dalr.training.objectives import Variants, variant


@pytest.fixture
def variants(corpora: Path, tiny_bert: Path, tmp_path: Path) -> Iterator[Variants]:
    """The config of one of `OPTIONS`; what a user's module added is forgotten afterwards."""
    yield partial(variant, corpora=corpora, tiny_bert=tiny_bert, folder=tmp_path / "variant")
    extensions.forget()
