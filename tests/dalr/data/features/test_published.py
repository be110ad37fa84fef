"""Every published format gives the same features, matched to the captions; what does not fit is named."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dalr.config.schema import DataConfig
from dalr.data.corpora.sources import Captions, captions_of, read_captions
from dalr.data.features.published import published_caption_features, published_image_features
from dalr.errors import InputError

PAIRS = [("b.jpg", "a dog"), ("b.jpg", "it runs"), ("a.jpg", "two men"), ("c.jpg", "a cat")]
BY_IMAGE = {"a.jpg": [1.0, 2.0], "b.jpg": [3.0, 4.0], "c.jpg": [5.0, 6.0], "unused.jpg": [7.0, 8.0]}
EXPECTED = [BY_IMAGE[name] for name in ("b.jpg", "a.jpg", "c.jpg")]
BY_CAPTION = np.arange(8, dtype=np.float32).reshape(4, 2)


@pytest.fixture
def captions() -> Captions:
    return captions_of(PAIRS, Path("captions.csv"))


def data(folder: Path, **keys: str | None) -> DataConfig:
    return DataConfig.model_validate(
        {"store": str(folder / "store")} | {key: str(folder / name) for key, name in keys.items() if name}
    )


def write(path: Path, rows: Any, ids: list[str] | None = None) -> None:
    rows = np.asarray(rows, np.float32)
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".hdf5":
        with h5py.File(path, "w") as file:
            file["features"] = rows
    elif path.suffix == ".parquet":
        columns = {"id": ids} if ids else {}
        pq.write_table(pa.table({**columns, "features": rows.tolist()}), path)


def kdmcse() -> dict[str, Any]:
    """KDMCSE's records in another order than the captions', with an image that these lack."""
    records = {}
    for name in sorted(BY_IMAGE, reverse=True):
        rows = [row for row, (image, _) in enumerate(PAIRS) if image == name][::-1]
        records[name[:-4]] = {
            "image": name,
            "image_feat": BY_IMAGE[name],
            "captions": [PAIRS[row][1] for row in rows],
            "lang_feat": BY_CAPTION[rows].tolist(),
        }
    return records


@pytest.mark.parametrize("name", ["f.npy", "f.hdf5", "f.parquet", "f.json"])
def test_formats_agree(tmp_path: Path, captions: Captions, name: str) -> None:
    ids = list(BY_IMAGE)
    if name == "f.json":
        (tmp_path / name).write_text(json.dumps(kdmcse()))
    else:
        write(tmp_path / name, list(BY_IMAGE.values()), ids)
    (tmp_path / "ids.txt").write_text("\n".join(ids) + "\n")
    own = name in ("f.parquet", "f.json")
    config = data(tmp_path, image_features=name, image_ids=None if own else "ids.txt")
    for _ in range(2):  # from the file, and from the store
        rows = published_image_features(config, captions)
        assert rows.shape == (3, 2)
        assert rows.rows(np.arange(3)).tolist() == EXPECTED


@pytest.mark.parametrize("name", ["f.npy", "f.hdf5"])
def test_rows_without_ids_are_in_the_captions_order(tmp_path: Path, captions: Captions, name: str) -> None:
    config = data(tmp_path, image_features=name)
    write(tmp_path / name, EXPECTED)
    assert published_image_features(config, captions).rows(np.arange(3)).tolist() == EXPECTED
    write(tmp_path / name, [BY_IMAGE[image] for image, _ in PAIRS])  # MCSE: a row for each caption
    assert published_image_features(config, captions).rows(np.arange(3)).tolist() == EXPECTED
    write(tmp_path / name, [*EXPECTED, [9, 9], [9, 9]])
    with pytest.raises(InputError, match="has 5 rows without ids, for 3 images and 4 captions"):
        published_image_features(config, captions)


def test_mcse_pairs_line_i_with_row_i(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("one\n\nthree\n")
    write(tmp_path / "f.hdf5", [[5, 5], [1, 1], [2, 2]])
    rows = published_image_features(data(tmp_path, image_features="f.hdf5"), read_captions(tmp_path / "captions.txt"))
    assert rows.rows(np.arange(2)).tolist() == [[5, 5], [2, 2]]


def test_names_may_lack_extension_or_folder(tmp_path: Path, captions: Captions) -> None:
    write(tmp_path / "f.parquet", list(BY_IMAGE.values()), [f"images/{name[:-4]}" for name in BY_IMAGE])
    rows = published_image_features(data(tmp_path, image_features="f.parquet"), captions)
    assert rows.rows(np.arange(3)).tolist() == EXPECTED


@pytest.mark.parametrize("name", ["f.npy", "f.json", "f.hdf5"])
def test_caption_features(tmp_path: Path, captions: Captions, name: str) -> None:
    config = data(tmp_path, caption_features=name)
    write(tmp_path / name, BY_CAPTION)
    if name == "f.json":
        (tmp_path / name).write_text(json.dumps(kdmcse()))
    assert published_caption_features(config, captions).rows(np.arange(4)).tolist() == BY_CAPTION.tolist()
    more = captions_of([*PAIRS, ("a.jpg", "two women")], Path("captions.csv"))
    with pytest.raises(InputError, match=r"data\.caption_features: .*(4 rows for 5 captions|lacks 1 of the 5)"):
        published_caption_features(config, more)


def test_missing_images_are_named_and_counted(tmp_path: Path) -> None:
    wanted = captions_of([(f"{number}.jpg", "x") for number in range(9)], Path("captions.csv"))
    write(tmp_path / "f.parquet", [[1, 1], [2, 2]], ["3.jpg", "5.jpg"])
    with pytest.raises(InputError, match=r"lacks 7 of the 9 images .* the first: 0\.jpg, 1\.jpg, 2\.jpg$"):
        published_image_features(data(tmp_path, image_features="f.parquet"), wanted)


def test_malformed_files_are_one_line(tmp_path: Path, captions: Captions) -> None:
    good = tmp_path / "good.npy"
    write(good, EXPECTED)
    (tmp_path / "cut.npy").write_bytes(good.read_bytes()[:-4])
    np.save(tmp_path / "whole.npy", np.arange(3))
    (tmp_path / "text.hdf5").write_text("not HDF5")
    (tmp_path / "text.parquet").write_text("not Parquet")
    (tmp_path / "ragged.json").write_text(
        json.dumps({"a": {"image": "a", "image_feat": [1]}, "b": {"image": "b", "image_feat": []}})
    )
    (tmp_path / "key.json").write_text(json.dumps({"a": {"image": "a"}}))
    write(tmp_path / "large.hdf5", [[1e6, 0]] * 3)
    write(tmp_path / "zero.hdf5", [[1, 0], [0, 0], [0, 1]])
    write(tmp_path / "small.parquet", [[1, 0], [0, 1e-9], [0, 1]])
    (tmp_path / "f.mat").write_text("x")
    expected = {
        "cut.npy": "not a whole .npy file",
        "whole.npy": "expected floats",
        "text.hdf5": "not a whole HDF5 file",
        "text.parquet": "not a whole Parquet file",
        "ragged.json": "differ in width",
        "key.json": "its records have no 'image_feat'",
        "large.hdf5": "row 0 is not finite in float16",
        "zero.hdf5": "row 1 is all zero",
        "small.parquet": "row 1 is all zero",  # in float16, as it is stored
        "f.mat": "expected one of .npy",
        "none.npy": "no such file",
    }
    for name, message in expected.items():
        with pytest.raises(InputError, match=r"data\.image_features") as error:
            published_image_features(data(tmp_path, image_features=name), captions)
        assert message in str(error.value), name
        assert name in str(error.value)
        assert "\n" not in str(error.value)
    (tmp_path / "ids.txt").write_text("a.jpg\n")
    with pytest.raises(InputError, match="has 1 ids for the 3 rows"):
        published_image_features(data(tmp_path, image_features="good.npy", image_ids="ids.txt"), captions)


def write_large_kdmcse(path: Path, images: int, width: int) -> None:
    numbers = ", ".join(f"{value:.17f}" for value in np.random.default_rng(0).normal(size=width))
    with path.open("w") as file:
        for image in range(images):
            texts = ", ".join(f'"caption {image} {number}"' for number in range(5))
            file.write("{" if image == 0 else ", ")
            file.write(f'"{image}": {{"image": "{image}.jpg", "captions": [{texts}], "image_feat": [{numbers}], ')
            file.write(f'"lang_feat": [{", ".join([f"[{numbers}]"] * 5)}]}}')
        file.write("}")


def write_large_hdf5(path: Path, rows: int, width: int) -> None:
    with h5py.File(path, "w") as file:
        features = file.create_dataset("features", (rows, width), np.float32)
        for start in range(0, rows, 1000):
            features[start : start + 1000] = 0.5


PEAK = """
import resource, sys
from pathlib import Path
import numpy, h5py, ijson, pyarrow.parquet
from dalr.data.corpora.kdmcse import kdmcse_records
from dalr.data.features.formats import imported
path, store = Path(sys.argv[1]), Path(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert = kdmcse_records if path.suffix == ".json" else imported
convert(path, "data.image_features", store)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["json", "hdf5"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    """Four times the file, and the peak is that of the smaller one: less than a tenth of the larger."""
    peaks, sizes = [], []
    for factor in (1, 4):
        path = tmp_path / f"{factor}.{kind}"
        if kind == "json":
            write_large_kdmcse(path, 250 * factor, 384)
        else:
            write_large_hdf5(path, 5000 * factor, 384)
        command = [sys.executable, "-c", PEAK, str(path), str(tmp_path / f"store{factor}")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) * 1024)
        sizes.append(path.stat().st_size)
    assert peaks[1] - peaks[0] < 0.1 * (sizes[1] - sizes[0])


def test_kdmcse_is_converted_once_for_captions_and_both_kinds_of_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.json").write_text(json.dumps(kdmcse()))
    config = data(tmp_path, image_features="f.json", caption_features="f.json", captions="f.json")
    captions = read_captions(tmp_path / "f.json", tmp_path / "store")
    monkeypatch.setattr("dalr.data.corpora.kdmcse._convert", None)
    assert read_captions(tmp_path / "f.json", tmp_path / "store").data_hash == captions.data_hash
    images = published_image_features(config, captions)
    assert images.rows(np.arange(3)).tolist() == [BY_IMAGE[name] for name in captions.image_ids]
    texts = {tuple(pair): row.tolist() for pair, row in zip(PAIRS, BY_CAPTION, strict=True)}
    named = [captions.image_ids[image] for image in captions.image_of_caption]
    expected = [texts[pair] for pair in zip(named, captions.captions, strict=True)]
    assert published_caption_features(config, captions).rows(np.arange(4)).tolist() == expected


def test_equal_captions_of_an_image_need_equal_features(tmp_path: Path) -> None:
    record = {"image": "a.jpg", "image_feat": [1.0], "captions": ["a dog", "a  dog"], "lang_feat": [[1.0], [1.0]]}
    wanted = captions_of([("a.jpg", "a dog")], Path("captions.csv"))
    (tmp_path / "equal.json").write_text(json.dumps({"a": record}))
    rows = published_caption_features(data(tmp_path, caption_features="equal.json"), wanted)
    assert rows.rows(np.arange(1)).tolist() == [[1.0]]
    (tmp_path / "other.json").write_text(json.dumps({"a": {**record, "lang_feat": [[1.0], [2.0]]}}))
    with pytest.raises(InputError, match=r"'0\\ta dog' is the name of row 0 and of row 1, which differ"):
        published_caption_features(data(tmp_path, caption_features="other.json"), wanted)


def test_ids_that_could_mean_two_images_are_refused(tmp_path: Path) -> None:
    """The ids 1 and 2 for x/1.jpg and y/1.jpg gave both the row of 1."""
    wanted = captions_of([("x/1.jpg", "a dog"), ("y/1.jpg", "a cat")], Path("captions.csv"))
    write(tmp_path / "f.npy", [[1, 1], [2, 2]])
    (tmp_path / "ids.txt").write_text("1\n2\n")
    config = data(tmp_path, image_features="f.npy", image_ids="ids.txt")
    with pytest.raises(InputError, match=r"both 'x/1\.jpg' and 'y/1\.jpg' match '1'"):
        published_image_features(config, wanted)
    (tmp_path / "ids.txt").write_text("y/1.jpg\rx/1.jpg\r")
    assert published_image_features(config, wanted).rows(np.arange(2)).tolist() == [[2, 2], [1, 1]]
    (tmp_path / "ids.txt").write_text("x/1.jpg\n\ny/1.jpg\n")
    with pytest.raises(InputError, match="line 2 is empty"):
        published_image_features(config, wanted)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.asarray([[1, np.nan], [2, 2]]), "row 0 is not finite"),
        (np.asarray([[1, 1], [2, 1e39]]), "row 1 is not finite"),
        (np.asarray([[1, 1.0], [0, 0]]), "row 1 is all zero"),
        (np.asarray([[1, 1], [2, 2]]), "holds int64"),
        (np.asarray([[1, None], [2, 2]]), "Python objects in dtype"),
        (np.zeros((2, 0), np.float32), "is empty"),
        (np.zeros((2, 2, 2), np.float32), "expected floats [rows, width]"),
        (np.zeros((2, 2), np.complex64), "holds complex64"),
    ],
)
def test_arrays_that_are_no_features(tmp_path: Path, rows: Any, message: str) -> None:
    np.save(tmp_path / "f.npy", rows, allow_pickle=True)
    wanted = captions_of([("a.jpg", "x"), ("b.jpg", "y")], Path("captions.csv"))
    with pytest.raises(InputError) as error:
        published_image_features(data(tmp_path, image_features="f.npy"), wanted)
    assert message in str(error.value)
