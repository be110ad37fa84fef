"""Extraction over Ray: the same bytes as in one process, whole or killed halfway."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dalr.checksums import checksums_of
from dalr.data.features.image import ImageVectors
from dalr.data.store import Bounds, Prepared, Runner, folder_of, obtain, run_here
from dalr.errors import InputError
from dalr.files import sha256_of
from dalr.model.image_teacher import weights_fingerprint
from tests.processes import SERVER

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PICTURES, EACH = 8, 2
TEACHER = ("ViT-S-32", "random:0")


@dataclass(frozen=True)
class FewImageVectors(ImageVectors):
    """Pictures' features in shards of two."""

    @property
    def bounds(self) -> Bounds:
        return tuple((start, start + EACH) for start in range(0, len(self.files), EACH))


def extraction_of(folder: Path) -> FewImageVectors:
    files = tuple(sorted(folder.glob("*.jpg"))[:PICTURES])
    return FewImageVectors(*TEACHER, weights_fingerprint(*TEACHER), files, tuple(checksums_of(files)))


def bytes_of(store: Path, extraction: ImageVectors) -> dict[str, str]:
    """The checksum of every file of the array, its manifest included."""
    return {file.name: sha256_of(file) for file in sorted(folder_of(store, extraction).iterdir())}


def prepare(store: Path, extraction: ImageVectors, run: Runner = run_here) -> Prepared:
    return obtain(store, extraction, "images", run=run, quiet=True)[1]


def extract_and_die(store: Path, pictures: Path) -> None:
    """Kills this process in the middle of the array: two shards are done, a third is computed."""
    extraction = extraction_of(pictures)

    def run(of: ImageVectors, folder: Path, missing: list[int], tick: object) -> Iterator[object]:
        yield from run_here(of, folder, missing[:2], lambda count: None)
        yield from run_here(of, folder, missing[2:], lambda count: os.kill(os.getpid(), signal.SIGKILL))

    prepare(store, extraction, run)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def extraction(real_data: Path) -> FewImageVectors:
    return extraction_of(real_data / "flickr8k" / "images")


@pytest.fixture(scope="module")
def undisturbed(extraction: FewImageVectors, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    store = tmp_path_factory.mktemp("undisturbed")
    assert prepare(store, extraction).computed_shards == PICTURES // EACH
    return bytes_of(store, extraction)


def test_a_killed_extraction_goes_on_and_ends_with_the_same_bytes(
    extraction: FewImageVectors, undisturbed: dict[str, str], tmp_path: Path, real_data: Path
) -> None:
    killed = SERVER.Process(target=extract_and_die, args=(tmp_path, real_data / "flickr8k" / "images"))
    killed.start()
    killed.join(300)
    assert killed.exitcode == -signal.SIGKILL
    assert len(list(folder_of(tmp_path, extraction).glob("shard-*.npy"))) == 2
    assert prepare(tmp_path, extraction).computed_shards == PICTURES // EACH - 2
    assert bytes_of(tmp_path, extraction) == undisturbed


def test_workers_write_the_bytes_of_one_process(
    ray_cluster: None, extraction: FewImageVectors, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    from dalr.cluster.features import ray_runner
    from dalr.cluster.train import Workers

    ticks: list[int] = []
    runner = ray_runner(Workers(2))

    def run(*arguments: object) -> Iterator[object]:
        of, folder, missing, _ = arguments
        return runner(of, folder, missing, ticks.append)  # type: ignore[arg-type]

    assert prepare(tmp_path, extraction, run).computed_shards == PICTURES // EACH  # type: ignore[arg-type]
    assert sum(ticks) == PICTURES
    assert bytes_of(tmp_path, extraction) == undisturbed


def test_a_broken_picture_on_a_worker_is_one_line(
    ray_cluster: None, extraction: FewImageVectors, tmp_path: Path
) -> None:
    from dalr.cluster.features import ray_runner
    from dalr.cluster.train import Workers

    broken = tmp_path / "broken.jpg"
    broken.write_bytes(extraction.files[0].read_bytes()[:1000])
    one = FewImageVectors(*TEACHER, extraction.fingerprint, (broken,) * 2, tuple(checksums_of([broken] * 2)))
    with pytest.raises(InputError, match=r"broken\.jpg is not a whole picture") as caught:
        prepare(tmp_path / "store", one, ray_runner(Workers(1)))
    assert "\n" not in str(caught.value)
    assert not list(folder_of(tmp_path / "store", one).glob("*.npy"))
