"""The embedded data set: its files, their bytes, and that its golds mean something."""

import csv
import hashlib
import random
import shutil
from pathlib import Path

import pytest
from PIL import Image

from dalr.data.manifest import count_lines, read_manifest
from dalr.datasets.embedded import make_embedded_data
from dalr.datasets.embedded.captions import REGISTERS, prose, sentence
from dalr.datasets.embedded.drawing import draw_scene
from dalr.datasets.embedded.scenes import SUBJECTS, WEIGHTS, changed, described, likeness, random_scene
from dalr.errors import InputError
from dalr.files import sha256_of


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_embedded_data(tmp_path_factory.mktemp("data"))


def digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(embedded: Path, tmp_path: Path) -> None:
    assert digest(make_embedded_data(tmp_path)) == digest(embedded)


def test_another_seed_gives_other_files_and_replaces_the_old(tmp_path: Path, embedded: Path) -> None:
    shutil.copytree(embedded, tmp_path / "embedded")
    other = digest(make_embedded_data(tmp_path, seed=1))
    first = digest(embedded)
    assert other.keys() == first.keys()
    assert sum(other[path] == first[path] for path in other) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["embedded"]


def test_a_complete_folder_is_left_alone_and_an_incomplete_one_made_again(embedded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(embedded, tmp_path / "embedded"))
    (folder / "note.txt").write_text("mine")
    assert make_embedded_data(tmp_path) == folder
    assert (folder / "note.txt").exists()
    (folder / "sentences.txt").unlink()
    make_embedded_data(tmp_path)
    assert (folder / "sentences.txt").exists()


def test_a_folder_of_someone_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "thesis.tex").write_text("important")
    with pytest.raises(InputError, match=r"was not made by dalr"):
        make_embedded_data(tmp_path)
    assert (tmp_path / "embedded" / "thesis.tex").read_text() == "important"
    with pytest.raises(InputError, match=r"cannot write to"):
        make_embedded_data(tmp_path / "embedded" / "thesis.tex")


def test_the_captions_name_the_pictures(embedded: Path) -> None:
    with (embedded / "captions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = {path.name for path in (embedded / "images").iterdir()}
    assert {row["image"] for row in rows} == pictures
    assert len(rows) == 4 * len(pictures)
    assert len({(row["image"], row["caption"]) for row in rows}) == len(rows)
    with Image.open(embedded / "images" / rows[0]["image"]) as image:
        assert (image.size, image.mode, image.format) == ((128, 128), "RGB", "JPEG")


def test_no_evaluated_sentence_is_trained_on(embedded: Path) -> None:
    sentences = (embedded / "sentences.txt").read_text().splitlines()
    assert len(sentences) == len(set(sentences)) == 1000
    evaluated: set[str] = set()
    for path in (embedded / "senteval" / "downstream" / "STS").rglob("*.*"):
        for line in path.read_text().splitlines():
            evaluated.update(prose(field) for field in line.split("\t") if field)
    assert evaluated
    assert evaluated.isdisjoint(sentences)


def test_the_manifest_covers_every_file(embedded: Path) -> None:
    folder = embedded / "senteval"
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.name == "dalr embedded"
    files = {path.relative_to(folder).as_posix() for path in (folder / "downstream").rglob("*") if path.is_file()}
    assert set(manifest.files) == files
    for path, entry in manifest.files.items():
        assert (entry.rows, entry.sha256) == (count_lines(folder / path), sha256_of(folder / path))


def test_the_layout_is_that_of_the_real_data(embedded: Path, real_data: Path) -> None:
    real, ours = real_data / "senteval" / "downstream", embedded / "senteval" / "downstream"
    for path in sorted(ours.rglob("*")):
        if not path.is_file():
            continue
        model = (real / path.relative_to(ours)).read_bytes()
        made = path.read_bytes()
        for mark in (b"\xef\xbb\xbf", b"\r\n"):
            assert (mark in made) == (mark in model), path
        assert made.split(b"\n")[0].count(b"\t") == model.split(b"\n")[0].count(b"\t"), path
    assert len(list(ours.rglob("*.*"))) >= 60


def test_each_subset_has_as_many_golds_as_pairs_some_empty_where_the_real_ones_are(embedded: Path) -> None:
    for gold in (embedded / "senteval" / "downstream" / "STS").glob("STS1*/STS.gs.*"):
        golds = gold.read_text().split("\n")[:-1]
        pairs = gold.with_name(gold.name.replace("gs", "input", 1)).read_text().split("\n")[:-1]
        assert len(golds) == len(pairs)
        scored = [float(value) for value in golds if value]
        assert len(scored) == 30
        assert ("" in golds) == (gold.parent.name[:5] in {"STS15", "STS16"})
        assert min(scored) >= 0
        assert max(scored) <= 5
        assert max(scored) - min(scored) > 2.5


def test_trec_is_latin_1_with_accents_and_its_splits_are_disjoint(embedded: Path) -> None:
    folder = embedded / "senteval" / "downstream" / "TREC"
    train, test = ((folder / name).read_bytes() for name in ("train_5500.label", "TREC_10.label"))
    with pytest.raises(UnicodeDecodeError):
        train.decode("utf-8")
    assert set(train.split(b"\n")[:-1]).isdisjoint(test.split(b"\n")[:-1])
    classes = {line.split(":")[0] for line in train.decode("latin-1").split("\n")[:-1]}
    assert classes == {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}


@pytest.mark.parametrize("seed", range(40))
def test_likeness_is_one_with_itself_symmetric_and_falls_with_each_change(seed: int) -> None:
    rng = random.Random(seed)
    scene = random_scene(rng)
    near, far = changed(scene, rng, edits=1), random_scene(rng)
    assert likeness(scene, scene) == pytest.approx(1)
    assert likeness(scene, far) == pytest.approx(likeness(far, scene))
    assert 0 <= likeness(scene, far) <= 1
    assert likeness(scene, near) < 1


def test_the_weights_of_the_attributes_sum_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)


def test_every_scene_can_be_said_in_every_register_and_drawn() -> None:
    rng = random.Random(5)
    seen = set()
    for _ in range(150):
        scene = random_scene(rng)
        seen.add((scene.kind, scene.moving))
        for register in REGISTERS:
            words = sentence(described(scene, rng), rng, register)
            assert words == " ".join(words.split()) == words.lower()
            assert "{" not in words
    assert {kind for kind, _ in seen} == set(SUBJECTS)
    pictures = {draw_scene(random_scene(rng), rng).tobytes() for _ in range(5)}
    assert len(pictures) == 5
