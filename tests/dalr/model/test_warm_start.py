"""`model.init`: a run's or a model's weights as the start, checked, part of what the run is."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from dalr.config.overrides import with_absolute_paths, with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.identity import identity_of
from dalr.model.student import make_student
from dalr.training.inputs import check_inputs
from dalr.training.loop import train


@pytest.fixture
def run(small: RunConfig, tmp_path: Path) -> Path:
    """A finished run."""
    train(with_overrides(small, {"train.steps": 3}), tmp_path / "run", quiet=True)
    return tmp_path / "run"


def started(small: RunConfig, init: Path | str, **changes: object) -> RunConfig:
    return with_absolute_paths(with_overrides(small, {"model.init": str(init), **changes}))


def other_model(tiny_bert: Path, folder: Path, **changes: object) -> Path:
    """The tiny encoder with another value in its config, and weights for that."""
    shutil.copytree(tiny_bert, folder)
    config = BertConfig.from_pretrained(tiny_bert)
    for key, value in changes.items():
        setattr(config, key, value)
    torch.manual_seed(3)
    BertModel(config).save_pretrained(folder)
    return folder


def test_the_run_starts_from_those_weights(small: RunConfig, run: Path, tmp_path: Path) -> None:
    """A warm-up's first step has rate 0: what is exported after it is the start."""
    untrained = {"train.steps": 1, "optim.warmup_steps": 1}
    train(started(small, run, **untrained), tmp_path / "warm", quiet=True)
    train(with_overrides(small, untrained), tmp_path / "cold", quiet=True)
    theirs = load_file(run / "model/model.safetensors")
    warm, cold = (load_file(tmp_path / name / "model/model.safetensors") for name in ("warm", "cold"))
    assert warm.keys() == theirs.keys()
    assert all(torch.equal(warm[name], theirs[name]) for name in theirs)
    assert not all(torch.equal(cold[name], theirs[name]) for name in theirs)


def test_a_run_and_the_model_it_exported_are_one_start(small: RunConfig, run: Path) -> None:
    of_run, of_model = started(small, run), started(small, run / "model")
    one, other = make_student(of_run.model)[0], make_student(of_model.model)[0]
    assert all(torch.equal(a, b) for a, b in zip(one.encoder.parameters(), other.encoder.parameters(), strict=True))
    assert identity_of(of_run).fingerprint == identity_of(of_model).fingerprint


def test_the_weights_are_part_of_what_the_run_is(small: RunConfig, run: Path, tmp_path: Path) -> None:
    config = started(small, run)
    fingerprint = identity_of(config).fingerprint
    assert fingerprint != identity_of(small).fingerprint
    train(config, tmp_path / "warm", quiet=True)
    notes = json.loads((tmp_path / "warm/provenance.json").read_text())
    assert notes["contents"]["model.init"] == identity_of(config).contents["model.init"]
    assert (
        notes["init"]["config_fingerprint"] == json.loads((run / "provenance.json").read_text())["config_fingerprint"]
    )
    weights = run / "model/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert identity_of(config).fingerprint != fingerprint
    with pytest.raises(InputError, match=r"model\.init: .* holds something else than it did"):
        train(config, tmp_path / "warm", quiet=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 1}, "its num_hidden_layers is 1, the student's 2"),
        ({"hidden_size": 16}, "its hidden_size is 16, the student's 32"),
        ({"intermediate_size": 8}, r"its encoder\.layer\.0\.intermediate\.dense\.\w+ is \["),
        ({"max_position_embeddings": 24}, r"its embeddings\.position_embeddings\.weight is \[24, 32\], the student's"),
        ({"hidden_act": "relu"}, "its hidden_act is relu, the student's gelu"),
    ],
)
def test_another_architecture_is_refused_in_one_line(
    changes: dict[str, object], words: str, small: RunConfig, tiny_bert: Path, tmp_path: Path
) -> None:
    folder = other_model(tiny_bert, tmp_path / "other", **changes)
    with pytest.raises(InputError, match=words) as caught:
        train(started(small, folder), tmp_path / "run", quiet=True)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_student_that_is_cut_takes_a_start_of_as_many_layers(
    small: RunConfig, run: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="its num_hidden_layers is 2, the student's 1"):
        make_student(started(small, run, **{"model.layers": 1}).model)
    one_layer = other_model(tiny_bert, tmp_path / "one", num_hidden_layers=1)
    assert make_student(started(small, one_layer, **{"model.layers": 1}).model)[0].encoder.config.num_hidden_layers == 1


def test_another_vocabulary_is_refused(small: RunConfig, run: Path) -> None:
    path = run / "model/tokenizer.json"
    tokenizer = json.loads(path.read_text())
    words = list(tokenizer["model"]["vocab"])
    tokenizer["model"]["vocab"] |= {words[-1]: tokenizer["model"]["vocab"][words[-2]], words[-2]: len(words) - 1}
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="another vocabulary than the student's"):
        make_student(started(small, run).model)


@pytest.mark.parametrize("name", ["nowhere/at/all", "s3://bucket/run"])
def test_a_start_that_is_not_there_is_refused_before_anything_is_read(name: str, small: RunConfig) -> None:
    with pytest.raises(InputError, match=r"model\.init: model "):
        check_inputs(started(small, name))


def test_a_run_that_is_not_finished_has_no_model_yet(small: RunConfig, run: Path) -> None:
    shutil.rmtree(run / "model")
    with pytest.raises(InputError, match="a run that is not finished"):
        check_inputs(started(small, run))


def test_a_relative_folder_is_the_same_from_everywhere(
    small: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    config = started(small, "run")
    assert config.model.init == str(run)
