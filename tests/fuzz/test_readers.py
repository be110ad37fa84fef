"""Whatever a file holds, a reader takes it, and what it took comes back when it is written; or it says in one line
what is wrong. `DALR_FUZZ_SECONDS` (default 20) is the time for each reader."""

import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from dalr.config.overrides import parse_overrides, to_yaml, validated, with_overrides
from dalr.config.schema import DataConfig, RunConfig
from dalr.data.corpora.sources import captions_of, read_captions, read_sentences
from dalr.data.features.formats import format_of, imported
from dalr.data.features.published import mapped, published_caption_features, published_image_features, read_ids
from dalr.data.rows import MappedRows
from dalr.errors import InputError
from dalr.evaluation.custom import read_tasks
from dalr.evaluation.labelled import read_labelled
from dalr.evaluation.readers import DataFolder, read_split
from dalr.evaluation.tasks import StsTask
from dalr.files import write_json
from dalr.results import read_result
from dalr.sweeps.spec.loading import load_spec
from dalr.yaml_text import dump_yaml, read_yaml
from tests.fuzz.mutations import CORPUS, PIECES, files

SECONDS = float(os.environ.get("DALR_FUZZ_SECONDS", "20"))
Check = Callable[[Path], None]


def sentences(path: Path) -> None:
    read = read_sentences(path)
    again = path.with_name("again.txt")
    again.write_text("".join(f"{text}\n" for text in read.texts), encoding="utf-8-sig", newline="")
    assert read_sentences(again).texts == read.texts


def captions(path: Path) -> None:
    read = read_captions(path, path.with_name("store"))
    again = path.with_name("again.json")
    records: dict[str, list[str]] = {name: [] for name in read.image_ids}
    for image, text in zip(read.image_of_caption, read.captions, strict=True):
        records[read.image_ids[image]].append(text)
    write_json(again, {str(i): {"image": name, "captions": texts} for i, (name, texts) in enumerate(records.items())})
    back = read_captions(again)
    assert back.image_ids == read.image_ids
    assert sorted(zip(back.image_of_caption, back.captions, strict=True)) == sorted(
        zip(read.image_of_caption, read.captions, strict=True)
    )


def ids(path: Path) -> None:
    rows = MappedRows(CORPUS / "features" / "rows.npy")
    names = read_ids(str(path), rows, path)
    again = path.with_name("again.txt")
    again.write_text("".join(f"{name}\n" for name in names), encoding="utf-8-sig", newline="")
    assert read_ids(str(again), rows, path) == names


def features(path: Path) -> None:
    """As image features, as caption features, and as rows of their own."""
    wanted = captions_of([("a.jpg", "a dog runs"), ("b.jpg", "a cat sits")], path)
    data = DataConfig(image_features=str(path), caption_features=str(path), store=str(path.with_name("store")))
    for read in (published_image_features, published_caption_features):
        try:
            rows = read(data, wanted).rows(np.arange(2))
        except InputError as error:
            assert_one_line(error, path)
        else:
            assert len(rows) == 2
            assert np.isfinite(rows.astype(np.float32)).all()
    kind = format_of(path, "data.image_features")
    if kind != ".json":
        store = path.with_name("store")
        array = mapped(path if kind == ".npy" else imported(path, "data.image_features", store).rows, "rows")
        again = path.with_name("again.npy")
        np.save(again, np.asarray(array.array))
        np.testing.assert_array_equal(mapped(again, "rows").array, array.array)


def yaml(path: Path) -> None:
    values = read_yaml(path, "config")
    again = path.with_name("again.yaml")
    again.write_text(dump_yaml(values), encoding="utf-8")
    assert repr(read_yaml(again, "config")) == repr(values)


def configs(path: Path) -> None:
    values = read_yaml(path, "config")
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected keys")
    config = validated(values, str(path))
    again = path.with_name("again.yaml")
    again.write_text(to_yaml(config), encoding="utf-8")
    assert validated(read_yaml(again)) == config


def specs(path: Path) -> None:
    spec = load_spec(path)
    again = path.with_name("again.yaml")
    again.write_text(dump_yaml(spec.model_dump(mode="json", exclude_unset=True, by_alias=True)), encoding="utf-8")
    assert load_spec(again) == spec


def results(path: Path) -> None:
    read = read_result(path)
    again = path.with_name("again.json")
    read.write(again)
    assert read_result(again) == read


def tasks(path: Path) -> None:
    """The declaration alone: its files are those of the corpus or none."""
    read_tasks(path)


def sts_rows(path: Path) -> None:
    _task_rows(path, "kind: sts\n    scale: [0, 5]")


def labelled_rows(path: Path) -> None:
    _task_rows(path, "kind: classification\n    classes: ['0', '1']")


def _task_rows(path: Path, kind: str) -> None:
    split = "test" if "sts" in kind else "all"
    declaration = path.with_name("tasks.yaml")
    declaration.write_text(f"tasks:\n  - name: Own\n    files: {{{split}: {path.name}}}\n    {kind}\n")
    (path.parent / "downstream").mkdir(exist_ok=True)
    (task,) = read_tasks(declaration)
    folder = DataFolder.open(path.parent)
    if isinstance(task, StsTask):
        (pairs,) = read_split(folder, task, split)
        assert np.isfinite(pairs.gold).all()
        assert len(pairs.first) == len(pairs.second) == len(pairs)
    else:
        split_rows = read_labelled(folder, task, split)
        assert set(split_rows.labels) <= {0, 1}


READERS: dict[str, Check] = {
    "sentences": sentences,
    "captions": captions,
    "ids": ids,
    "features": features,
    "yaml": yaml,
    "configs": configs,
    "specs": specs,
    "results": results,
    "tasks": tasks,
    "sts_rows": sts_rows,
    "labelled_rows": labelled_rows,
}


def assert_one_line(error: InputError, path: Path) -> None:
    message = str(error)
    assert message.strip()
    assert len(message.splitlines()) == 1, message
    assert len(message) < 2000 + 2 * len(str(path)), message


def run_for(seconds: float, test: Callable[[], None]) -> int:
    """Runs a hypothesis test again and again with other seeds; the number of rounds."""
    end = time.monotonic() + seconds
    for number in count(1):
        seed(number)(test)()
        if time.monotonic() > end:
            return number
    raise AssertionError("unreachable")


PLAIN = settings(
    max_examples=200,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 2 + 600)
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_takes_a_file_or_says_what_is_wrong(reader: str, tmp_path: Path) -> None:
    tried = accepted = 0

    @PLAIN
    @given(files(reader))
    def check(file: tuple[str, bytes]) -> None:
        nonlocal tried, accepted
        tried += 1
        name, data = file
        path = tmp_path / name
        path.write_bytes(data)
        try:
            READERS[reader](path)
            accepted += 1
        except InputError as error:
            assert_one_line(error, path)

    run_for(SECONDS, check)
    print(f"{reader}: {tried:,} files, {accepted:,} accepted")
    assert accepted


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 2 + 600)
def test_overrides_are_taken_or_refused() -> None:
    keys = st.sampled_from("train.seed optim.learning_rate data.text objective.weights teachers.text.0.weight".split())
    values = st.text(max_size=12) | st.sampled_from([piece.decode("utf-8", "replace") for piece in PIECES])
    words = st.builds(
        lambda key, equals, value: key + equals + value,
        keys | st.text(max_size=8),
        st.sampled_from(["=", " = ", ""]),
        values,
    )

    @PLAIN
    @given(st.lists(words, max_size=3))
    def check(texts: list[str]) -> None:
        try:
            config = with_overrides(RunConfig(), parse_overrides(texts))
        except InputError as error:
            assert_one_line(error, Path())
        else:
            assert RunConfig.model_validate(config.dump()) == config

    run_for(SECONDS, check)
