"""`dalr evaluate` and `dalr encode`, as they are called."""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from dalr.__main__ import main
from dalr.errors import InputError
from dalr.evaluation import SentenceEncoder
from dalr.evaluation.commands import sentences_of
from dalr.results import read_result
from tests.dalr.evaluation.test_custom import write_own_tasks


def dalr(monkeypatch: pytest.MonkeyPatch, *words: object, stdin: bytes = b"") -> int:
    """Runs the command line in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["dalr", *map(str, words)])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_evaluate_writes_a_result_and_says_what_it_is(
    tiny_bert, small_data: Path, tmp_path, monkeypatch, capsys
) -> None:
    out = tmp_path / "r.json"
    words = ["evaluate", tiny_bert, "--data", small_data, "--tasks", "STS13,CR", "--protocol", "fast", "--out", out]
    assert dalr(monkeypatch, *words) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("STS13")
    assert str(out) in printed
    result = read_result(out)
    assert (list(result.tasks), result.pooler) == (["STS13", "CR"], "cls_before_pooler")
    assert result.provenance.model_fingerprint == SentenceEncoder.load(str(tiny_bert)).fingerprint()
    before = out.read_text()
    assert dalr(monkeypatch, *words, "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert json.loads(before)["tasks"] == json.loads(out.read_text())["tasks"]
    assert dalr(monkeypatch, *words, "--pooler", "avg") == 0
    assert read_result(out).pooler == "avg"


def test_evaluate_takes_own_tasks_and_a_cache(tiny_bert, small_data: Path, tmp_path, monkeypatch, capsys) -> None:
    own = write_own_tasks(tmp_path)
    words = ["evaluate", tiny_bert, "--data", small_data, "--tasks", "STS13", "--protocol", "fast"]
    words += ["--custom", own, "--cache", tmp_path / "cache", "--out", tmp_path / "r.json"]
    assert dalr(monkeypatch, *words) == 0
    assert list(read_result(tmp_path / "r.json").tasks) == ["STS13", "Reviews", "Pairs", "Labels"]
    assert list((tmp_path / "cache").rglob("*.npz"))
    assert "Reviews" in capsys.readouterr().out


def test_evaluate_takes_own_tasks_alone(tiny_bert, tmp_path, monkeypatch, capsys) -> None:
    own, out = write_own_tasks(tmp_path), tmp_path / "r.json"
    words = ["evaluate", tiny_bert, "--protocol", "fast", "--out", out]
    assert dalr(monkeypatch, *words, "--custom", own) == 0
    assert list(read_result(out).tasks) == ["Reviews", "Pairs", "Labels"]
    assert "Reviews" in capsys.readouterr().out
    assert dalr(monkeypatch, *words, "--custom", own, "--tasks", "sts") == 2
    assert "--data: missing; STS12 is read from a SentEval folder" in capsys.readouterr().err
    assert dalr(monkeypatch, *words) == 2
    assert "--data, --custom or --mteb: missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--tasks", "STS17"], "unknown task 'STS17'"),
        (["--protocol", "slow"], "slow"),
        (["--data", "/nowhere"], "no such folder"),
        (["--pooler", "median"], "unknown pooler 'median'"),
        (["--tasks", "STS12", "--protocol", "dev"], "only a test split"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tiny_bert, small_data, tmp_path, monkeypatch, capsys, change, message
) -> None:
    words = ["evaluate", tiny_bert, "--data", small_data, "--out", tmp_path / "r.json", *change]
    assert dalr(monkeypatch, *words) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_encode_writes_npy_and_jsonl(tiny_bert: Path, tmp_path: Path, monkeypatch, capsysbinary) -> None:
    text = b"a dog\n\nthe man sits\r\na dog"
    expected = SentenceEncoder.load(str(tiny_bert)).encode(["a dog", "", "the man sits", "a dog"])
    out = tmp_path / "vectors.npy"
    assert dalr(monkeypatch, "encode", tiny_bert, "--out", out, stdin=text) == 0
    np.testing.assert_array_equal(np.load(out), expected)
    capsysbinary.readouterr()
    assert dalr(monkeypatch, "encode", tiny_bert, stdin=text + b"\n") == 0
    np.testing.assert_array_equal(np.load(io.BytesIO(capsysbinary.readouterr().out)), expected)
    assert dalr(monkeypatch, "encode", tiny_bert, "--format", "jsonl", stdin=text) == 0
    rows = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [row["sentence"] for row in rows] == ["a dog", "", "the man sits", "a dog"]
    np.testing.assert_allclose([row["vector"] for row in rows], expected, rtol=1e-6)


def test_encode_refuses_other_encodings_and_takes_nothing(tiny_bert: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    assert dalr(monkeypatch, "encode", tiny_bert, stdin=b"caf\xe9\n") == 2
    assert "not UTF-8" in capsys.readouterr().err
    assert dalr(monkeypatch, "encode", tiny_bert, "--out", tmp_path / "none.npy") == 0
    assert np.load(tmp_path / "none.npy").shape == (0, 32)


def test_encode_takes_sentences_as_arguments(tiny_bert: Path, monkeypatch, capsysbinary) -> None:
    words = ["encode", tiny_bert, "a dog runs", "a cat, and a dog", "--format", "jsonl"]
    assert dalr(monkeypatch, *words, stdin=b"not read") == 0
    rows = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [row["sentence"] for row in rows] == ["a dog runs", "a cat, and a dog"]
    expected = SentenceEncoder.load(str(tiny_bert)).encode(["a dog runs", "a cat, and a dog"])
    np.testing.assert_allclose([row["vector"] for row in rows], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (b"a dog\rthe cat\r", ["a dog", "the cat"]),
        (b"a dog\r\nthe cat\r\n", ["a dog", "the cat"]),
        (b"\xef\xbb\xbfa dog\nthe cat", ["a dog", "the cat"]),
        ("a\u2028dog\x85sits\x0c\n\n".encode(), ["a\u2028dog\x85sits\x0c", ""]),
        (b"", []),
    ],
)
def test_lines_end_where_their_writer_ended_them(text: bytes, sentences: list[str]) -> None:
    assert sentences_of(text) == sentences


@pytest.mark.parametrize("text", [b'{"text": "a dog"}\n', b"sentence\tlabel\na dog\t1\n", b"a\0b", b"<html>\n"])
def test_what_is_no_list_of_sentences_is_not_encoded(text: bytes) -> None:
    with pytest.raises(InputError, match=r"^stdin: "):
        sentences_of(text)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("format", ["npy", "jsonl"])
def test_encode_writes_no_vectors_that_are_none(
    tiny_bert: Path, tmp_path: Path, monkeypatch, capsys, number: float, format: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_bert, model)
    tensors = load_file(model / "model.safetensors")
    tensors["encoder.layer.1.output.dense.bias"][3] = number
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    out = tmp_path / "vectors"
    assert dalr(monkeypatch, "encode", model, "a dog", "a cat", "--out", out, "--format", format) == 2
    assert f"dalr: model {model}: the vector of 'a dog' is not finite" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(InputError, match="not finite"):
        SentenceEncoder.load(str(model)).encode(["a dog"])
