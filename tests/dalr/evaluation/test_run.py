"""`evaluate`: results, resuming, details, the user's own tasks."""

import json
from pathlib import Path

import numpy as np
import pytest

from dalr.data.manifest import write_manifest
from dalr.errors import InputError
from dalr.evaluation import SentenceEncoder, evaluate, run
from dalr.evaluation.readers import DataFolder
from dalr.evaluation.run import merge, plan, score_task, shares
from dalr.evaluation.tasks import STANDARD
from dalr.evaluation.vectors import EncodedSentences
from dalr.results import STS, TRANSFER, Result, details_file, read_details, read_result
from dalr.statistics import compare_results, spearman
from tests.dalr.evaluation.golden_values import hash32
from tests.dalr.evaluation.test_vectors import Counting

SOME = ["STS12", "STSBenchmark", "SST2"]


def without_time(result: Result) -> dict:
    values = result.model_dump()
    for task in values["tasks"].values():
        task.pop("seconds")
    values.pop("seconds")
    values["provenance"].pop("created")
    return values


def test_a_result_is_complete_and_reads_back(small_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "all.json"
    encode = Counting()
    result = evaluate(encode, small_data, "all", "fast", model="bag", pooler="none", out=out, fingerprint="f1")
    assert read_result(out) == result
    assert list(result.tasks) == [*STS, *TRANSFER]
    assert len(encode.seen) == len(set(encode.seen))
    assert result.sts_avg == pytest.approx(np.mean([result.tasks[name].score for name in STS]))
    assert result.transfer_avg == pytest.approx(np.mean([result.tasks[name].score for name in TRANSFER]))
    assert (result.model, result.pooler, result.protocol) == ("bag", "none", "fast")
    assert result.provenance.official_data is False
    assert result.provenance.model_fingerprint == "f1"
    assert result.provenance.data["downstream/TREC/TREC_10.label"]
    assert len(result.tasks["STS12"].subsets or {}) == 5
    assert result.tasks["MRPC"].f1 is not None
    for task in result.tasks.values():
        assert task.interval is not None
        assert task.interval.low <= task.score + 1.0
        assert task.interval.high >= task.score - 1.0
    assert set(result.alignment) == set(result.uniformity) == {"dalr", "mcse", "simcse"}
    assert json.loads(out.read_text())["schema"] == 1


def test_details_give_the_scores_back(small_data: Path, tmp_path: Path) -> None:
    result = evaluate(hash32, small_data, ["STS16", "MR"], "fast", out=tmp_path / "x.json")
    sts, mr = read_details(tmp_path / "x.json", "STS16"), read_details(tmp_path / "x.json", "MR")
    assert sts is not None
    assert sts.similarities is not None
    assert sts.gold is not None
    assert 100 * spearman(sts.similarities, sts.gold) == pytest.approx(result.tasks["STS16"].score)
    assert mr is not None
    assert mr.correct is not None
    assert (len(mr.correct), mr.correct.dtype) == (48, bool)
    assert 100 * mr.correct.mean() == pytest.approx(result.tasks["MR"].score, abs=1.5)
    assert read_details(tmp_path / "x.json", "CR") is None
    details_file(tmp_path / "x.json", "MR").write_bytes(b"PK no")
    with pytest.raises(InputError, match="not readable details"):
        read_details(tmp_path / "x.json", "MR")


def test_two_results_are_compared_task_by_task(small_data: Path, tmp_path: Path) -> None:
    def narrow(sentences: list[str]) -> np.ndarray:
        return hash32(sentences)[:, :2]

    one, other = tmp_path / "a.json", tmp_path / "b.json"
    first = evaluate(hash32, small_data, ["STS12", "STS14", "MRPC"], "fast", out=one)
    second = evaluate(narrow, small_data, ["STS12", "MRPC"], "fast", out=other)
    found = compare_results(one, other)
    assert list(found) == ["STS12", "MRPC"]
    for name, comparison in found.items():
        difference = first.tasks[name].score - second.tasks[name].score
        assert 100 * comparison.difference == pytest.approx(difference, abs=0.01)
        assert comparison.adjusted is not None
        assert comparison.p_value <= comparison.adjusted <= 1
    assert found["STS12"].p_value < 0.05
    evaluate(hash32, small_data, ["STS13"], out=other)
    with pytest.raises(InputError, match="share no task"):
        compare_results(one, other)


def test_results_on_different_data_are_not_compared(own_data: Path, tmp_path: Path) -> None:
    evaluate(hash32, own_data, ["STSBenchmark"], out=tmp_path / "a.json")
    path = own_data / "downstream/STS/STSBenchmark/sts-test.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    write_manifest(own_data, "small")
    evaluate(hash32, own_data, ["STSBenchmark"], out=tmp_path / "b.json")
    with pytest.raises(InputError, match="different data"):
        compare_results(tmp_path / "a.json", tmp_path / "b.json")


def test_without_out_nothing_is_written(small_data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(small_data.rglob("*"))
    evaluate(hash32, small_data, ["STS12"])
    assert sorted(small_data.rglob("*")) == before
    assert not list(tmp_path.iterdir())


def test_an_interrupted_evaluation_loses_the_task_in_hand(small_data: Path, tmp_path: Path) -> None:
    out, again, calls = tmp_path / "r.json", Counting(), iter(range(10))

    def stopped(sentences: list[str]) -> np.ndarray:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return hash32(sentences)

    with pytest.raises(KeyboardInterrupt):
        evaluate(stopped, small_data, SOME, "fast", out=out, fingerprint="f")
    assert not out.exists()
    result = evaluate(again, small_data, SOME, "fast", out=out, fingerprint="f")
    whole = evaluate(hash32, small_data, SOME, "fast", fingerprint="f")
    assert without_time(result) == without_time(whole)
    assert set(again.seen) == _sentences_of_sst2(small_data)


def _sentences_of_sst2(data: Path) -> set[str]:
    parts = [path.read_text().splitlines() for path in (data / "downstream/SST/binary").iterdir()]
    return {" ".join(line.split("\t")[0].split()) for part in parts for line in part}


def refused(sentences: list[str]) -> np.ndarray:
    raise AssertionError("nothing should be encoded")


def test_done_tasks_are_not_done_again_and_stay(small_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    first = evaluate(hash32, small_data, SOME, "fast", out=out, fingerprint="f")
    again = evaluate(refused, small_data, SOME, "fast", out=out, fingerprint="f")
    assert again.tasks == first.tasks
    more = evaluate(hash32, small_data, ["CR"], "fast", out=out, fingerprint="f")
    assert list(more.tasks) == ["STS12", "STSBenchmark", "CR", "SST2"]
    assert read_result(out).tasks["STS12"] == first.tasks["STS12"]


@pytest.mark.parametrize("change", ["fingerprint", "protocol", "data", "no fingerprint"])
def test_nothing_is_reused_after_a_change(own_data: Path, tmp_path: Path, change: str) -> None:
    out, encode = tmp_path / "r.json", Counting()
    evaluate(hash32, own_data, ["STS12", "MR"], "fast", out=out, fingerprint="f")
    fingerprint = {"fingerprint": "g", "no fingerprint": None}.get(change, "f")
    if change == "data":
        for name in ("STS.gs.MSRvid.txt", "STS.input.MSRvid.txt"):
            path = own_data / "downstream/STS/STS12-en-test" / name
            path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
        write_manifest(own_data, "small")
    protocol = "test" if change == "protocol" else "fast"
    result = evaluate(encode, own_data, ["STS12"], protocol, out=out, fingerprint=fingerprint)
    assert encode.seen
    assert set(result.tasks) == ({"STS12", "MR"} if change == "data" else {"STS12"})


def test_records_merge_to_the_same_result_wherever_they_were_made(small_data: Path) -> None:
    whole = evaluate(hash32, small_data, SOME, "fast", model="m", pooler="p", fingerprint="f")
    records = [
        score_task(
            STANDARD[name], DataFolder.open(small_data), EncodedSentences(hash32), "fast", fingerprint="f"
        ).record
        for name in reversed(SOME)
    ]
    parts = merge(records, model="m", pooler="p", protocol="fast")
    assert without_time(parts) == without_time(whole)
    assert list(parts.tasks) == SOME
    with pytest.raises(InputError, match="cannot be merged"):
        merge([records[0], records[1].model_copy(update={"fingerprint": "g"})], model="m", pooler=None, protocol="fast")


def test_shares_encoded_apart_give_the_same_result_to_the_last_digit(small_data: Path, tiny_bert: Path) -> None:
    folder, tasks = DataFolder.open(small_data), plan(["STS12", "STS13", "SST2", "MRPC"], "fast")
    names = [task.name for task in tasks]
    whole = evaluate(SentenceEncoder.load(str(tiny_bert)).encode, small_data, names, "fast")
    together = EncodedSentences(refused)
    parts = shares(tasks, folder, "fast")
    for share in reversed(parts):
        alone = EncodedSentences(SentenceEncoder.load(str(tiny_bert)).encode)
        alone.add(share)
        together.keep(share, alone.of(share))
    assert len(together) == sum(map(len, parts))
    records = [score_task(task, folder, together, "fast").record for task in tasks]
    assert without_time(merge(records, model="", pooler=None, protocol="fast")) == without_time(whole)


def test_a_cache_spares_the_encoder(small_data: Path, tmp_path: Path) -> None:
    evaluate(hash32, small_data, ["STS12"], cache=tmp_path, fingerprint="f")
    evaluate(refused, small_data, ["STS12"], cache=tmp_path, fingerprint="f")
    with pytest.raises(InputError, match="needs the encoder's fingerprint"):
        evaluate(hash32, small_data, ["STS12"], cache=tmp_path)


def test_the_plan_names_tasks_in_column_order() -> None:
    names = [task.name for task in plan(["MR", "sts", "STS12"], "test")]
    assert names == [*STS, "MR"]
    assert [task.name for task in plan("sts,CR", "dev")] == ["STSBenchmark", "SICKRelatedness", "CR"]
    with pytest.raises(InputError, match="STS12 has only a test split"):
        plan(["STS12"], "dev")
    with pytest.raises(InputError, match="unknown task 'STS17'"):
        plan(["STS17"], "test")
    with pytest.raises(InputError, match="unknown protocol"):
        evaluate(hash32, ".", ["STS12"], "best")  # type: ignore[arg-type]


def test_bad_encoders_write_no_result(small_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    for bad in (
        lambda sentences: np.full((len(sentences), 3), np.nan),
        lambda sentences: np.ones((len(sentences) + 1, 3)),
        lambda sentences: np.ones((len(sentences), len(sentences))),
    ):
        with pytest.raises(InputError, match="encoder:"):
            evaluate(bad, small_data, SOME, "fast", out=out, fingerprint="f")
    assert not out.exists()
    assert run.PROTOCOLS == ("test", "fast", "dev")
