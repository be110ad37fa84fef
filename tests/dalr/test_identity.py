"""A run is what it was made from: not where that lay, and not without any byte of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from dalr.config.overrides import to_yaml, with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.identity import Identity, identity_of
from dalr.model.checksum import model_checksum
from tests.small_run import small_config, write_corpora
from tests.tiny import write_tiny_bert

DEV = "senteval/downstream/STS/STSBenchmark/sts-dev.csv"


def make(folder: Path, **changes: object) -> RunConfig:
    """A run on files and models that all lie below `folder`."""
    if not folder.exists():
        folder.mkdir(parents=True)
        write_corpora(folder, np.random.default_rng(0))
        write_tiny_bert(folder / "student")
        write_tiny_bert(folder / "teacher", seed=1)
        folder.joinpath("pictures").mkdir()
        for number in range(20):
            Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / "pictures" / f"{number}.jpg")
    teachers = [{"model": str(folder / "teacher"), "pooler": "avg"}]
    return small_config(folder, folder / "student", **{"teachers__text": teachers, **changes})


def with_pictures(folder: Path) -> RunConfig:
    """The same, its image features made from pictures."""
    image = {"model": "ViT-B-32", "weights": str(folder / "teacher.pt")}
    made = {"data__image_features": None, "data__image_ids": None, "data__images": str(folder / "pictures")}
    config = make(folder, teachers__image=image, **made)
    if not (folder / "teacher.pt").exists():
        (folder / "teacher.pt").write_bytes(b"weights of the image teacher")
    return config


def flip(path: Path) -> None:
    """Changes one byte."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("made", [make, with_pictures])
def test_a_copy_elsewhere_is_the_same(made: Callable[[Path], RunConfig], tmp_path: Path) -> None:
    one = identity_of(made(tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    other = identity_of(made(tmp_path / "two"))
    assert other.config != one.config
    assert (other.fingerprint, other.setting) == (one.fingerprint, one.setting)


@pytest.mark.parametrize(
    ("made", "file", "key"),
    [
        (make, "captions.csv", "data.captions"),
        (make, "sentences.txt", "data.text"),
        (make, "images.npy", "data.image_features"),
        (make, "image_ids.txt", "data.image_ids"),
        (make, "student/model.safetensors", "model.student"),
        (make, "student/config.json", "model.student"),
        (make, "student/tokenizer.json", "model.student"),
        (make, "teacher/model.safetensors", "teachers.text.0.model"),
        (make, DEV, "evaluation.data"),
        (with_pictures, "pictures/7.jpg", "data.images"),
        (with_pictures, "teacher.pt", "teachers.image.weights"),
    ],
)
def test_one_changed_byte_makes_another(made: Callable[[Path], RunConfig], file: str, key: str, tmp_path: Path) -> None:
    before = identity_of(made(tmp_path / "data"))
    flip(tmp_path / "data" / file)
    after = identity_of(made(tmp_path / "data"))
    assert after.fingerprint != before.fingerprint
    assert after.setting != before.setting
    assert [name for name in after.contents if after.contents[name] != before.contents[name]] == [key]
    notes = {"schema": 2, "contents": before.contents}
    (difference,) = after.differences(before.config.dump(), notes)
    assert difference.startswith(f"{key}: ")
    assert difference.endswith("holds something else than it did")


def test_what_is_not_read_plays_no_part(tmp_path: Path) -> None:
    before = identity_of(make(tmp_path / "data")).fingerprint
    (tmp_path / "data" / "senteval" / "downstream" / "MR").mkdir()
    (tmp_path / "data" / "senteval" / "downstream" / "MR" / "rt-polarity.pos").write_text("fetched later\n")
    (tmp_path / "data" / "student" / "README.md").write_text("a card\n")
    assert identity_of(make(tmp_path / "data")).fingerprint == before
    alone = make(tmp_path / "data", data__pair_every=1)
    captions = identity_of(alone).fingerprint
    flip(tmp_path / "data" / "sentences.txt")
    assert identity_of(alone).fingerprint == captions


def test_settings_count_where_they_decide_the_outcome(tmp_path: Path) -> None:
    config = make(tmp_path / "data")
    contents = identity_of(config).contents

    def changed(**changes: object) -> Identity:
        return Identity(with_overrides(config, {k.replace("__", "."): v for k, v in changes.items()}), contents)

    same = [
        changed(train__keep=7),
        changed(train__checkpoint_every=2),
        changed(train__activation_checkpointing=True),
        changed(evaluation__tasks=["MR"]),
        changed(data__root="/elsewhere", data__store="/elsewhere/features"),
    ]
    assert {one.fingerprint for one in same} == {changed().fingerprint}
    other = [
        changed(objective__soft__cross_alignment__softening=0.5),
        changed(teachers__text__0__pooler="cls"),
        changed(evaluation__metric="STSBenchmark.test"),
        changed(data__pair_every=1),
    ]
    assert len({one.setting for one in [*other, changed()]}) == 5
    seed = changed(train__seed=2)
    assert seed.fingerprint != changed().fingerprint
    assert seed.setting == changed().setting


def test_the_seed_that_is_the_default_is_no_other_setting() -> None:
    whole = RunConfig()
    seeds = [Identity(with_overrides(whole, {"train.seed": seed}), {}) for seed in (1, 2)]
    assert seeds[0].setting == seeds[1].setting


def test_a_run_of_an_earlier_version_is_known_by_its_files_checksums_and_its_models_places(tmp_path: Path) -> None:
    config = make(tmp_path / "data")
    now = identity_of(config)
    files = {key: value for key, value in now.contents.items() if key.startswith("data.")}
    earlier = yaml.safe_load(to_yaml(config))
    del earlier["train"]["length_groups"]  # a key that the earlier version did not know
    assert now.differences(earlier, {"data": files}) == []
    moved = with_overrides(config, {"data.text": str(shutil.copy(config.data.text or "", tmp_path / "moved.txt"))})
    assert identity_of(moved).differences(earlier, {"data": files}) == []
    flip(tmp_path / "moved.txt")
    (difference,) = identity_of(moved).differences(earlier, {"data": files})
    assert difference.startswith("data.text: ")
    student = shutil.copytree(tmp_path / "data" / "student", tmp_path / "student")
    elsewhere = identity_of(with_overrides(config, {"model.student": str(student)}))
    (difference,) = elsewhere.differences(earlier, {"data": files})
    assert difference.startswith("model.student was ")


@pytest.mark.parametrize(
    ("file", "words"),
    [("captions.csv", "data.captions: no such file"), (DEV, "evaluation.data: .* no such file; `dalr data check")],
)
def test_what_is_missing_is_named(file: str, words: str, tmp_path: Path) -> None:
    config = make(tmp_path / "data")
    (tmp_path / "data" / file).unlink()
    with pytest.raises(InputError, match=words):
        identity_of(config)


def test_a_model_of_the_hub_is_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Laid out as the Hub's cache lays it out: the same as the folder it was fetched from, whatever the commit."""
    write_tiny_bert(tmp_path / "folder")
    expected = model_checksum(str(tmp_path / "folder"))
    hub = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(hub), raising=False)
    for commit in ("a" * 40, "b" * 40):
        snapshot = hub / "models--someone--tiny" / "snapshots" / commit
        shutil.copytree(tmp_path / "folder", snapshot)
        (hub / "models--someone--tiny" / "refs").mkdir(exist_ok=True)
        (hub / "models--someone--tiny" / "refs" / "main").write_text(commit)
        assert model_checksum("someone/tiny") == expected
        (snapshot / "README.md").write_text("another card")
        assert model_checksum("someone/tiny") == expected
    flip(snapshot / "model.safetensors")
    assert model_checksum("someone/tiny") != expected
    with pytest.raises(InputError, match="someone/none: no such folder here, and the hub does not give it"):
        model_checksum("someone/none")
