"""Transfer tasks against the original toolkit's answers; damaged files are refused."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from dalr.data.manifest import write_manifest
from dalr.errors import InputError
from dalr.evaluation.classifier import SETTINGS
from dalr.evaluation.custom import read_tasks
from dalr.evaluation.folds import stratified_folds
from dalr.evaluation.labelled import LabelledSplit, read_labelled
from dalr.evaluation.readers import DataFolder
from dalr.evaluation.tasks import STANDARD, TransferTask
from dalr.evaluation.transfer import TransferScores, f1_percent, features_of, read_splits, score_transfer
from dalr.evaluation.vectors import EncodedSentences
from dalr.results import TRANSFER, Protocol
from tests.dalr.evaluation.golden_values import golden, hash32
from tests.dalr.evaluation.plain_classifier import plain_kfold, plain_nested


def declared(name: str) -> TransferTask:
    task = STANDARD[name]
    assert isinstance(task, TransferTask)
    return task


def scored(data: Path, name: str, protocol: Protocol) -> TransferScores:
    task = declared(name)
    return score_transfer(task, read_splits(DataFolder.open(data), task, protocol), EncodedSentences(hash32), protocol)


def assert_golden(found: TransferScores, name: str, protocol: Protocol) -> None:
    expected = golden(f"hash32_{protocol}")[name]
    tolerance = 0.5 if name == "TREC" else 0.3
    for key in ("acc", "devacc", "f1"):
        if key in expected:
            assert getattr(found.score, key) == pytest.approx(expected[key], abs=tolerance), (name, key)
    assert found.score.n == expected["ntest"]
    assert found.score.score == found.score.acc


@pytest.mark.parametrize("name", ["CR", "TREC", "MRPC"])
def test_the_toolkits_accuracies_fast(real_data: Path, name: str) -> None:
    assert_golden(scored(real_data / "senteval", name, "fast"), name, "fast")


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFER)
def test_the_toolkits_accuracies_on_every_task(real_data: Path, name: str) -> None:
    assert_golden(scored(real_data / "senteval", name, "fast"), name, "fast")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CR", "TREC", "MRPC"])
def test_the_toolkits_accuracies_under_the_full_protocol(real_data: Path, name: str) -> None:
    assert_golden(scored(real_data / "senteval", name, "test"), name, "test")


def arrays(data: Path, name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    part = read_labelled(DataFolder.open(data), declared(name), split)
    return features_of(part, EncodedSentences(hash32)), part.labels


@pytest.mark.slow
@pytest.mark.parametrize(("name", "classes"), [("TREC", 6), ("MRPC", 2)])
def test_the_plain_loop_gives_the_toolkits_accuracies(real_data: Path, name: str, classes: int) -> None:
    data, expected = real_data / "senteval", golden("hash32_fast")[name]
    devacc, acc = plain_kfold(arrays(data, name, "train"), arrays(data, name, "test"), classes, SETTINGS["fast"])
    assert (devacc, acc) == (expected["devacc"], expected["acc"])


@pytest.mark.slow
def test_the_plain_loop_gives_the_toolkits_nested_accuracies(real_data: Path) -> None:
    expected = golden("hash32_fast")["CR"]
    found = plain_nested(*arrays(real_data / "senteval", "CR", "all"), 2, SETTINGS["fast"])
    assert found == (expected["devacc"], expected["acc"])


@pytest.mark.parametrize("name", ["MR", "MRPC"])
def test_small_tasks_equal_the_plain_loop(small_data: Path, name: str) -> None:
    found = scored(small_data, name, "fast").score
    classes = len(declared(name).classes)
    if name == "MR":
        plain = plain_nested(*arrays(small_data, name, "all"), classes, SETTINGS["fast"])
    else:
        split = [arrays(small_data, name, part) for part in ("train", "test")]
        plain = plain_kfold(split[0], split[1], classes, SETTINGS["fast"])
    assert (found.devacc, found.acc) == plain


def test_dev_protocol_reads_no_test_split(own_data: Path) -> None:
    for path in ("TREC/TREC_10.label", "MRPC/msr_paraphrase_test.txt", "SST/binary/sentiment-test"):
        (own_data / "downstream" / path).unlink()
    for name in ("TREC", "MRPC", "SST2", "CR"):
        found = scored(own_data, name, "dev")
        assert found.correct is None
        assert (found.score.score, found.score.acc, found.score.split) == (found.score.devacc, None, "dev")


def test_correctness_follows_the_files_order(small_data: Path) -> None:
    """An encoder that knows the label of every sentence but one is wrong there alone."""
    task = declared("SST2")
    splits = read_splits(DataFolder.open(small_data), task, "fast")
    lines = (small_data / "downstream/SST/binary/sentiment-test").read_text().splitlines()
    truth = {" ".join(line.split("\t")[0].split()): int(line[-1]) for line in lines}
    for split in splits.values():
        truth |= dict(zip(split.sentences[0], split.labels.tolist(), strict=True))
    wrong = 5
    mistaken = " ".join(lines[wrong].split("\t")[0].split())

    def oracle(sentences: list[str]) -> np.ndarray:
        return np.array([[float((truth[s] == 1) != (s == mistaken)) * 2 - 1, 1.0] for s in sentences])

    found = score_transfer(task, splits, EncodedSentences(oracle), "fast")
    assert found.correct is not None
    assert np.flatnonzero(~found.correct).tolist() == [wrong]
    assert found.score.acc == round(100 * 23 / 24, 2)


def test_f1_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 2, 50), generator.integers(0, 2, 50)
    assert f1_percent(labels, predicted) == round(100 * f1_score(labels, predicted), 2)
    assert f1_percent(np.zeros(3), np.zeros(3)) == 0.0


def test_pairs_have_difference_and_product(small_data: Path) -> None:
    split = LabelledSplit((["a b"], ["c"]), np.array([1]), np.array([0]))
    u, v = hash32(["a b", "c"])
    np.testing.assert_array_equal(features_of(split, EncodedSentences(hash32))[0], np.concatenate([abs(u - v), u * v]))


def test_examples_are_in_the_toolkits_order(real_data: Path) -> None:
    split = read_labelled(DataFolder.open(real_data / "senteval"), declared("MR"), "all")
    rows = zip(split.sentences[0], split.labels, split.places, strict=True)
    keys = [(len(sentence.split()), label, place) for sentence, label, place in rows]
    assert keys == sorted(keys)
    mrpc = read_labelled(DataFolder.open(real_data / "senteval"), declared("MRPC"), "test")
    assert not any("\ufeff" in sentence or "#1 String" in sentence for sentence in mrpc.sentences[0])
    trec = read_labelled(DataFolder.open(real_data / "senteval"), declared("TREC"), "test")
    assert np.bincount(trec.labels).tolist() == [9, 138, 94, 65, 81, 113]


def replace_line(path: Path, number: int, line: bytes) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = line
    path.write_bytes(b"\n".join(lines))


def test_subj_with_20_lines_is_refused(unlisted: Path, real_data: Path) -> None:
    for name in ("subj.objective", "subj.subjective"):
        source = (real_data / "senteval/downstream/SUBJ" / name).read_bytes()
        (unlisted / "downstream/SUBJ" / name).write_bytes(source)
    target = unlisted / "downstream/SUBJ/subj.subjective"
    target.write_bytes(b"\n".join(target.read_bytes().split(b"\n")[:20]) + b"\n")
    with pytest.raises(InputError, match=r"subj\.subjective: 20 lines, expected 5000"):
        read_splits(DataFolder.open(unlisted), declared("SUBJ"), "test")


@pytest.mark.parametrize(
    ("name", "path", "line", "message"),
    [
        ("SST2", "SST/binary/sentiment-train", b"good film\t2", r"train:3: '2' is not a class of SST2 \(0, 1\)"),
        ("SST2", "SST/binary/sentiment-train", b"good film", r"train:3: 1 tab-separated fields instead of 2"),
        ("TREC", "TREC/train_5500.label", b"FOO:bar what ?", r"label:3: 'FOO' is not a class of TREC"),
        ("TREC", "TREC/train_5500.label", b"what is this ?", r"label:3: .* has no label"),
        ("MRPC", "MRPC/msr_paraphrase_train.txt", b"1\t2\t3\tonly one", r"train\.txt:3: 4 tab-separated fields"),
        ("MRPC", "MRPC/msr_paraphrase_train.txt", b"x\t2\t3\ta\tb", r"train\.txt:3: 'x' is not a class"),
        ("MRPC", "MRPC/msr_paraphrase_train.txt", b"1\t2\t3\t\xe9\tb", r"train\.txt:3: wrong encoding: byte 0xe9"),
        ("MR", "MR/rt-polarity.pos", "café".encode(), r"polarity\.pos:3: wrong encoding: UTF-8 text"),
    ],
)
def test_damaged_examples_are_named_by_line(own_data: Path, name: str, path: str, line: bytes, message: str) -> None:
    replace_line(own_data / "downstream" / path, 3, line)
    write_manifest(own_data, "small")
    with pytest.raises(InputError, match=message):
        read_splits(DataFolder.open(own_data), declared(name), "fast")


def test_latin1_is_read_as_such(own_data: Path) -> None:
    replace_line(own_data / "downstream/MR/rt-polarity.pos", 1, "café".encode("latin-1"))
    write_manifest(own_data, "small")
    assert "café" in read_labelled(DataFolder.open(own_data), declared("MR"), "all").sentences[0]


def test_one_class_alone_is_refused(own_data: Path) -> None:
    path = own_data / "downstream/SST/binary/sentiment-dev"
    path.write_text("good\t1\nfine\t1\n")
    write_manifest(own_data, "small")
    with pytest.raises(InputError, match="has one class"):
        read_splits(DataFolder.open(own_data), declared("SST2"), "fast")


@pytest.mark.parametrize(("scheme", "needed"), [("nested", 7), ("kfold", 5)])
def test_the_smallest_class_must_reach_every_fold(tmp_path: Path, scheme: str, needed: int) -> None:
    """Of 5 folds; beside a class of 40, which is enough by itself."""
    files = "{all: t.csv}" if scheme == "nested" else "{train: t.csv, test: t.csv}"
    (tmp_path / "tasks.yaml").write_text(f"tasks: [{{name: T, kind: classification, files: {files}, classes: [a, b]}}]")
    (task,) = read_tasks(tmp_path / "tasks.yaml")
    for count in (needed - 1, needed):
        rows = [("common", "a")] * 40 + [("rare", "b")] * count
        (tmp_path / "t.csv").write_text("sentence,label\n" + "".join(f"{s} {i},{y}\n" for i, (s, y) in enumerate(rows)))
        if count < needed:
            with pytest.raises(
                InputError, match=rf"t\.csv: class 'b' of T has {count} examples; 5 folds need {needed}"
            ):
                read_splits(DataFolder.open(None), task, "fast")
        else:
            labels = read_splits(DataFolder.open(None), task, "fast")[next(iter(task.splits))].labels
            for train, held in stratified_folds(labels, 5):
                assert 1 in labels[held]
                if scheme == "nested":
                    assert all(1 in labels[train][part] for _, part in stratified_folds(labels[train], 5))
