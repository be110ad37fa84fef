"""Pictures become the teacher's features; a killed extraction goes on to the same bytes."""

import json
import multiprocessing
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dalr.checksums import checksums_of
from dalr.data.features import image as image_vectors
from dalr.data.features.image import ImageVectors
from dalr.data.features.pictures import image_files
from dalr.data.features.prepare import prepare_features
from dalr.data.store import Extraction, Prepared, Shard, Tick, extract_shard, obtain
from dalr.errors import InputError
from dalr.model.image_teacher import ImageTeacherEncoder, weights_fingerprint
from tests.dalr.data.corpus import IMAGES, tiny_config, write_corpus
from tests.dalr.model.tiny_clip import draw_pictures, register_tiny_clip

SHARD = 4


@pytest.fixture(scope="module")
def arch(tmp_path_factory: pytest.TempPathFactory) -> str:
    return register_tiny_clip(tmp_path_factory.mktemp("arch"))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_vectors, "SHARD", SHARD)


def extraction_of(folder: Path, arch: str) -> ImageVectors:
    """The pictures of a folder, by name, under the architecture's first random weights."""
    names = tuple(sorted(file.name for file in folder.iterdir()))
    files = image_files(folder, names)
    return ImageVectors(arch, "random:0", weights_fingerprint(arch, "random:0"), files, tuple(checksums_of(files)))


def extract(folder: Path, store: Path, arch: str) -> Prepared:
    return obtain(store, extraction_of(folder, arch), "pictures", quiet=True)[1]


def contents(store: Path) -> dict[str, bytes]:
    (folder,) = store.glob("image-*")
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_features_are_the_teachers_in_the_order_of_the_names(tmp_path: Path, arch: str) -> None:
    draw_pictures(tmp_path / "pictures", 10)
    array, _ = obtain(tmp_path / "store", extraction_of(tmp_path / "pictures", arch), "x", quiet=True)
    teacher = ImageTeacherEncoder(arch, "random:0")
    names = sorted(f"{number}.png" for number in range(10))
    pixels = [teacher.preprocess(Image.open(tmp_path / "pictures" / name)) for name in names]
    expected = teacher.images(torch.stack(pixels))
    got = torch.from_numpy(array.rows(np.arange(10))).float()
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    assert len(array.shards) == 3


def test_a_killed_extraction_goes_on_to_the_same_bytes(tmp_path: Path, arch: str) -> None:
    pictures = tmp_path / "pictures"
    draw_pictures(pictures, 5 * SHARD)
    # A forked process has the libraries already; the tests run torch in one thread, so forking is safe.
    process = multiprocessing.get_context("fork").Process(
        target=_extract_slowly, args=(pictures, tmp_path / "a", arch), daemon=True
    )
    process.start()
    until = time.monotonic() + 120
    while _shards(tmp_path / "a") < 2:
        assert process.is_alive(), "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.join(30)
    kept = _shards(tmp_path / "a")
    assert 2 <= kept < 5
    assert extract(pictures, tmp_path / "a", arch).computed_shards == 5 - kept
    extract(pictures, tmp_path / "b", arch)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def _extract_slowly(pictures: Path, store: Path, arch: str) -> None:
    """Takes a moment before each shard, in which it can be killed."""

    def slowly(extraction: Extraction, folder: Path, missing: Sequence[int], tick: Tick) -> Iterator[Shard]:
        for number in missing:
            time.sleep(0.3)
            yield extract_shard(extraction, folder, number, tick)

    obtain(store, extraction_of(pictures, arch), "pictures", run=slowly, quiet=True)


def _shards(store: Path) -> int:
    manifests = list(store.glob("image-*/manifest.json"))
    return len(json.loads(manifests[0].read_text())["shards"]) if manifests else 0


def test_a_broken_picture_is_named(tmp_path: Path, arch: str) -> None:
    draw_pictures(tmp_path / "pictures", 6)
    whole = (tmp_path / "pictures" / "5.png").read_bytes()
    (tmp_path / "pictures" / "5.png").write_bytes(whole[:60])
    with pytest.raises(InputError, match=r"5\.png is not a whole picture"):
        extract(tmp_path / "pictures", tmp_path / "store", arch)
    (tmp_path / "pictures" / "5.png").write_bytes(whole)
    assert extract(tmp_path / "pictures", tmp_path / "store", arch).shards == 2


def test_pictures_are_found_below_the_folder_and_without_extension(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "val2014", 2)
    draw_pictures(tmp_path / "train2014", 1)
    (tmp_path / "train2014" / "0.png").rename(tmp_path / "5.png")
    assert image_files(tmp_path, ["1.png", "0"]) == (tmp_path / "val2014" / "1.png", tmp_path / "val2014" / "0.png")
    assert image_files(tmp_path, ["5.png"]) == (tmp_path / "5.png",)
    with pytest.raises(InputError, match=r"lacks 2 of the 3 pictures .* the first: 7\.png, 8\.png"):
        image_files(tmp_path, ["7.png", "1.png", "8.png"])
    with pytest.raises(InputError, match="no such folder"):
        image_files(tmp_path / "none", ["1.png"])


def test_pictures_of_one_name_keep_their_folders(tmp_path: Path) -> None:
    for kind in ("cats", "dogs"):
        draw_pictures(tmp_path / kind, 3)
    names = ["dogs/1.png", "cats/1.png", "cats/0", "dogs/0"]
    endings = ["dogs/1.png", "cats/1.png", "cats/0.png", "dogs/0.png"]
    assert image_files(tmp_path, names) == tuple(tmp_path / name for name in endings)
    with pytest.raises(InputError, match=r"'2\.png' matches both 'cats/2\.png' and 'dogs/2\.png'"):
        image_files(tmp_path, ["2.png"])
    with pytest.raises(InputError, match=r"lacks 1 of the 1 pictures .* \.\./cats/1\.png"):
        image_files(tmp_path / "dogs", ["../cats/1.png"])


def test_a_picture_that_is_too_large_is_one_line(tmp_path: Path, arch: str) -> None:
    draw_pictures(tmp_path / "pictures", 2 * SHARD)
    large = tmp_path / "pictures" / "7.png"
    data = bytearray(large.read_bytes())
    data[16:24] = struct.pack(">II", 20_000, 20_000)  # the header says so; Pillow reads no further
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    large.write_bytes(data)
    with pytest.raises(InputError, match=r"7\.png is too large a picture: Image size \(400000000") as error:
        extract(tmp_path / "pictures", tmp_path / "store", arch)
    assert "\n" not in str(error.value)
    assert _shards(tmp_path / "store") == 1  # what was computed before it stays


def test_the_teacher_makes_what_is_not_published(tmp_path: Path, tiny_bert: Path, arch: str) -> None:
    write_corpus(tmp_path)
    for name in draw_pictures(tmp_path / "pictures", IMAGES):
        picture = tmp_path / "pictures" / name
        Image.open(picture).save(picture.with_suffix(".jpg"))
    config = tiny_config(
        tmp_path,
        tiny_bert,
        data__image_features=None,
        data__image_ids=None,
        data__images=str(tmp_path / "pictures"),
        teachers__image={"model": arch, "weights": "random:0"},
        objective__weights__grounding_text=1.0,
    )
    features = prepare_features(config, quiet=True, device="cpu")
    assert features.images is not None
    assert features.caption_features is not None
    assert features.captions is not None
    assert features.images.shape == (IMAGES, 16)
    assert features.caption_features.shape == (len(features.captions), 16)
    teacher = ImageTeacherEncoder(arch, "random:0")
    expected = teacher.captions(features.captions.captions[:4], "cpu")
    got = torch.from_numpy(features.caption_features.rows(np.arange(4))).float()
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    assert all(array.computed_shards == 0 for array in prepare_features(config, quiet=True, device="cpu").prepared)


def test_real_photographs(real_data: Path, tmp_path: Path, arch: str) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for file in sorted((real_data / "flickr8k" / "images").iterdir())[:32]:
        (photographs / file.name).symlink_to(file)
    array, _ = obtain(tmp_path / "store", extraction_of(photographs, arch), "x", quiet=True)
    features = array.rows(np.arange(32)).astype(np.float32)
    assert array.shape == (32, 16)
    assert len(np.unique(features, axis=0)) == 32
