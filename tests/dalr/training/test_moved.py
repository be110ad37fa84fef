"""A run's folder, copied elsewhere with all that it was made from: the same run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.training.loop import train
from tests.dalr.training.test_loop import StopAfter, lines, losses, same, weights
from tests.small_run import small_config, write_corpora
from tests.tiny import write_tiny_bert


def config_in(folder: Path) -> RunConfig:
    return small_config(
        folder,
        folder / "student",
        teachers__text=[{"model": str(folder / "teacher"), "pooler": "avg"}],
        model__dropout=0.1,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`home`: data, models, a finished run `whole` and one that was stopped after step 4, `half`."""
    home = tmp_path_factory.mktemp("made") / "home"
    home.mkdir()
    write_corpora(home, np.random.default_rng(0))
    write_tiny_bert(home / "student")
    write_tiny_bert(home / "teacher", seed=1)
    train(config_in(home), home / "whole", quiet=True)
    train(config_in(home), home / "half", callbacks=[StopAfter(4)], quiet=True)
    return home


@pytest.fixture
def elsewhere(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy on which alone a run can go on: the first place is gone while the test runs."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(made, copy, symlinks=True)
    hidden = made.rename(made.with_name("hidden"))

    yield copy
    hidden.rename(made)


def test_a_finished_run_is_finished_there(elsewhere: Path) -> None:
    before = lines(elsewhere / "whole")
    outcome = train(config_in(elsewhere), elsewhere / "whole", quiet=True)
    assert outcome.finished
    assert lines(elsewhere / "whole") == before, "no step was done again"


def test_a_stopped_run_goes_on_there_bit_for_bit_with_the_features_of_the_first_place(elsewhere: Path) -> None:
    stored = {path.name: path.stat().st_mtime_ns for path in (elsewhere / "features").iterdir()}
    assert train(config_in(elsewhere), elsewhere / "half", quiet=True).finished
    assert losses(elsewhere / "half") == losses(elsewhere / "whole")
    assert same(weights(elsewhere / "half", 8), weights(elsewhere / "whole", 8))
    assert {path.name: path.stat().st_mtime_ns for path in (elsewhere / "features").iterdir()} == stored


@pytest.mark.parametrize("file", ["captions.csv", "images.npy", "teacher/model.safetensors"])
def test_with_other_data_it_is_refused(file: str, elsewhere: Path) -> None:
    data = bytearray((elsewhere / file).read_bytes())
    data[-2] ^= 1
    (elsewhere / file).write_bytes(data)
    with pytest.raises(InputError, match=r"another run; [a-z0-9._]*: .* holds something else than .* did; choose"):
        train(config_in(elsewhere), elsewhere / "half", quiet=True)
