"""Makes the embedded data set, once."""

import csv
import io
import random
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dalr.data.manifest import MANIFEST, read_manifest, write_manifest
from dalr.datasets.embedded.captions import REGISTERS, prose, sentence
from dalr.datasets.embedded.drawing import draw_scene
from dalr.datasets.embedded.opinions import film_review, plot, product_review
from dalr.datasets.embedded.scenes import described, random_scene
from dalr.datasets.embedded.tasks import senteval_files
from dalr.errors import InputError
from dalr.files import writable_folder

VERSION = 1
"""Of the data set: raised whenever the same seed would give other files."""

FOLDER = "embedded"
IMAGES = 200
CAPTIONS = 4
SENTENCES = 1000


def make_embedded_data(root: Path, *, seed: int = 0) -> Path:
    """The folder `<root>/embedded`, made where it is not there yet.

    It holds `sentences.txt`, `captions.csv` (`image,caption`), `images/*.jpg` and `senteval/` with all
    14 tasks in SentEval's layout. The same seed gives the same bytes. It is made aside and renamed, so
    that several processes may ask for it at once; one of another version or seed is replaced.

    Raises:
        InputError: `root` cannot be written to, or `<root>/embedded` holds something else.
    """
    folder = Path(root) / FOLDER
    if _is_complete(folder, seed):
        return folder
    if folder.exists() and not _is_ours(folder):
        raise InputError(f"embedded data: {folder} exists and was not made by dalr; remove it or choose another root")
    writable_folder(root, "embedded data")
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{FOLDER}-") as aside:
        made = Path(aside) / FOLDER
        _write(made, seed)
        if folder.exists():
            _remove_stale(folder, seed, Path(aside) / "old")
        try:
            made.rename(folder)
        except OSError:  # not empty: another process was faster
            if not _is_complete(folder, seed):
                raise
    return folder


def _name() -> str:
    return f"dalr embedded {VERSION}"


def _is_ours(folder: Path) -> bool:
    manifest = read_manifest(folder)
    return manifest is not None and manifest.name.startswith("dalr embedded")


def _is_complete(folder: Path, seed: int) -> bool:
    manifest = read_manifest(folder)
    if manifest is None or manifest.name != _name() or manifest.seed != seed:
        return False
    images = sum(1 for _ in (folder / "images").glob("*.jpg"))
    return images == IMAGES and all((folder / path).is_file() for path in manifest.files)


def _remove_stale(folder: Path, seed: int, out_of_the_way: Path) -> None:
    if _is_complete(folder, seed):
        return
    folder.rename(out_of_the_way)
    shutil.rmtree(out_of_the_way)


def _write(folder: Path, seed: int) -> None:
    (folder / "images").mkdir(parents=True)
    senteval = senteval_files(seed)
    for path, content in senteval.items():
        target = folder / "senteval" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    write_manifest(folder / "senteval", "dalr embedded")
    _write_captioned_images(folder, random.Random(f"{seed} images"))
    sentences = plain_sentences(random.Random(f"{seed} sentences"), SENTENCES, _texts(senteval))
    (folder / "sentences.txt").write_bytes("".join(f"{line}\n" for line in sentences).encode())
    listed = [folder / "sentences.txt", folder / "captions.csv", folder / "senteval" / MANIFEST]
    write_manifest(folder, _name(), seed=seed, files=listed)


def _write_captioned_images(folder: Path, rng: random.Random) -> None:
    """The pictures, and `CAPTIONS` different captions of each, two ways of speaking in turn."""
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(("image", "caption"))
    for number in range(IMAGES):
        scene = random_scene(rng)
        name = f"scene-{number:03d}.jpg"
        draw_scene(scene, rng).save(folder / "images" / name, quality=88)
        captions: dict[str, None] = {}
        while len(captions) < CAPTIONS:
            register = ("caption", "scene")[len(captions) % 2]
            captions[prose(sentence(described(scene, rng, share=0.75), rng, register))] = None
        table.writerows((name, caption) for caption in captions)
    (folder / "captions.csv").write_bytes(rows.getvalue().encode())


def plain_sentences(rng: random.Random, count: int, unwanted: set[str]) -> list[str]:
    """`count` different sentences of all registers and topics, none of them among `unwanted`
    (tokenised, lower case), so that no evaluated sentence is trained on."""
    makers: tuple[Callable[[], str], ...] = (
        *(partial(_scene_sentence, rng, register) for register in REGISTERS if register != "headline"),
        partial(plot, rng),
        lambda: film_review(rng, rng.random() < 0.5),
        lambda: product_review(rng, rng.random() < 0.5),
    )
    sentences: dict[str, None] = {}
    while len(sentences) < count:
        words = rng.choice(makers)()
        if words not in unwanted:
            sentences[prose(words)] = None
    return list(sentences)


def _scene_sentence(rng: random.Random, register: str) -> str:
    return sentence(described(random_scene(rng), rng), rng, register)


def _texts(files: dict[str, bytes]) -> set[str]:
    """Every field of every line, lower case."""
    return {
        field.lower()
        for content in files.values()
        for line in content.decode("utf-8", errors="replace").splitlines()
        for field in line.split("\t")
    }
