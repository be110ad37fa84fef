"""What `dalr features` prints: what was computed, what was there, and where."""

from pathlib import Path

import pytest

from dalr.cluster.commands.features import compute_features, config_of
from dalr.config.overrides import to_yaml
from dalr.errors import InputError
from tests.dalr.data.corpus import tiny_config, write_corpus


@pytest.fixture
def recipe(tmp_path: Path, tiny_bert: Path) -> str:
    write_corpus(tmp_path)
    (tmp_path / "config.yaml").write_text(to_yaml(tiny_config(tmp_path, tiny_bert)))
    return str(tmp_path / "config.yaml")


def test_it_says_what_was_computed_and_what_was_there(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compute_features(config_of(recipe, []), tokens=True)
    assert capsys.readouterr().out.count("1 of 1 shards") == 2  # sentence vectors, token states
    compute_features(config_of(recipe, []), tokens=True)
    output = capsys.readouterr().out
    assert output.count(", there: ") == 2
    assert str(tmp_path / "store") in output
    compute_features(config_of(recipe, []), tokens=False, quiet=True)
    assert capsys.readouterr().out == ""
    compute_features(config_of(recipe, ["objective.cross_modal=0", "objective.intra_modal=0"]), tokens=False)
    assert "need no teacher features" in capsys.readouterr().out


def test_bad_input_is_refused_before_anything_is_written(recipe: str, tmp_path: Path) -> None:
    for word, expected in (
        ("objective.temprature=1", r"did you mean objective\.temperature"),
        ("data.captions=none.csv", "no such file"),
        ("objective.token_norm=token_padded", "cannot be cached"),
    ):
        with pytest.raises(InputError, match=expected):
            compute_features(config_of(recipe, [word]), tokens=True, quiet=True)
    assert not (tmp_path / "store").exists()
