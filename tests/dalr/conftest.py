"""A small run: a tiny student and teacher, 60 captions of 20 images, 80 sentences, an STS-B dev split."""

from pathlib import Path

import numpy as np
import pytest

from dalr.config.schema import RunConfig
from tests.small_run import small_config, write_corpora


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sentences.txt, captions.csv, images.npy, image_ids.txt and senteval/."""
    folder = tmp_path_factory.mktemp("corpora")
    write_corpora(folder, np.random.default_rng(0))
    return folder


@pytest.fixture
def small(corpora: Path, tiny_bert: Path) -> RunConfig:
    """The `dalr` preset on that data: 8 steps, evaluated and saved every 3."""
    return small_config(corpora, tiny_bert)
