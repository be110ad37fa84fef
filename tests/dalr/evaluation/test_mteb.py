"""MTEB's tasks by its own code path, on data made here; and STS-B by it against dalr's own."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dalr.errors import InputError
from dalr.evaluation import SentenceEncoder, evaluate
from dalr.evaluation.mteb_tasks import mteb_tasks
from dalr.evaluation.readers import DataFolder, read_split
from dalr.evaluation.tasks import find_task
from dalr.results import read_details, read_result
from tests.dalr.evaluation.golden_values import hash32
from tests.dalr.evaluation.test_commands import dalr

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """MTEB, with tasks of our own: imported where these tests run, not where all are collected."""
    return import_module("tests.dalr.evaluation.made_mteb")


def test_tasks_are_scored_beside_the_others(made: ModuleType, small_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    result = evaluate(
        hash32, small_data, ["STS13"], "fast", mteb=[made.Pairs(), made.Kinds()], out=out, fingerprint="f"
    )
    assert list(result.tasks) == ["STS13", "MTEB.Pairs", "MTEB.Kinds"]
    pairs = result.tasks["MTEB.Pairs"]
    assert (pairs.n, pairs.split, pairs.score) == (12, "test", pytest.approx(100 * pairs.spearman))
    assert result.tasks["MTEB.Kinds"].score > 90
    assert result.provenance.data["MTEB.Pairs"] == "nobody/nothing@1"
    assert "mteb" in result.provenance.packages
    assert read_result(out) == result
    assert result.sts_avg is None
    assert not read_details(out, "MTEB.Pairs").record.official_data


def refused(sentences: list[str]) -> np.ndarray:
    raise AssertionError(f"encoded again: {sentences[:3]}")


def test_what_is_done_is_not_done_again_and_stays(
    made: ModuleType, small_data: Path, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "r.json"
    first = evaluate(hash32, None, [], mteb=[made.Pairs()], out=out, fingerprint="f")
    again = evaluate(refused, None, [], mteb=[made.Pairs()], out=out, fingerprint="f")
    assert again.tasks == first.tasks
    assert list(evaluate(hash32, small_data, ["STS12"], out=out, fingerprint="f").tasks) == ["STS12", "MTEB.Pairs"]
    monkeypatch.setattr(made.Pairs, "metadata", made.metadata("Pairs", "STS", "cosine_spearman", revision="2"))
    with pytest.raises(InputError, match="encoded again"):
        evaluate(refused, None, [], mteb=[made.Pairs()], out=out, fingerprint="f")


def test_sts_b_by_mtebs_code_equals_ours_on_the_shared_files(
    made: ModuleType, real_data: Path, tiny_bert: Path
) -> None:
    """MTEB's own text of it is not tokenised, so that the files are ours; the code path is MTEB's."""
    (subset,) = read_split(DataFolder.open(real_data / "senteval"), find_task("STSBenchmark"), "test")

    class Shared(made.AbsTaskSTS):
        metadata = made.metadata("Shared", "STS", "cosine_spearman")
        min_score, max_score = 0, 5

        def load_data(self, **options: Any) -> None:
            columns = {"sentence1": subset.first, "sentence2": subset.second, "score": subset.gold.tolist()}
            self.dataset = made.DatasetDict({"test": made.Dataset.from_dict(columns)})
            self.data_loaded = True

    encoder = SentenceEncoder.load(str(tiny_bert), "avg", device="cpu")
    result = evaluate(encoder.encode, real_data / "senteval", ["STSBenchmark"], mteb=[Shared()])
    ours, theirs = result.tasks["STSBenchmark"], result.tasks["MTEB.Shared"]
    assert theirs.score == pytest.approx(ours.score, abs=1e-3)
    assert theirs.pearson == pytest.approx(ours.pearson, abs=1e-5)


def test_what_cannot_be_scored_is_one_line(made: ModuleType, monkeypatch) -> None:
    class NoData(made.Pairs):
        metadata = made.metadata("NoData", "STS", "cosine_spearman")

        def load_data(self, **options: Any) -> None:
            raise ConnectionError("the Hub\ncannot be reached")

    cases = [
        (lambda: evaluate(hash32, None, [], mteb=["STSBenchmrk"]), "mteb STSBenchmrk: .*not found"),
        (lambda: evaluate(hash32, None, [], mteb=[NoData()]), "MTEB task NoData: the Hub cannot be reached"),
        (lambda: evaluate(hash32, None, [], "dev", mteb=[made.Pairs()]), "protocol dev does not read"),
        (lambda: evaluate(lambda s: np.full((len(s), 2), np.nan), None, [], mteb=[made.Pairs()]), "is not finite"),
        (lambda: evaluate(lambda s: np.ones((1, 2)), None, [], mteb=[made.Pairs()]), "returned 1 rows for 6 sentences"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message) as error:
            call()
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(InputError, match=r"package mteb is not installed .*dalr\[mteb\]"):
        mteb_tasks(["STSBenchmark"])


def test_the_command_takes_them_alone(made: ModuleType, tiny_bert: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    tasks = {"Pairs": made.Pairs, "Kinds": made.Kinds}
    monkeypatch.setattr("mteb.get_task", lambda name: tasks[name]())
    out = tmp_path / "r.json"
    assert dalr(monkeypatch, "evaluate", tiny_bert, "--mteb", "Pairs, Kinds", "--out", out) == 0
    assert capsys.readouterr().out.startswith("MTEB.Pairs ")
    assert list(read_result(out).tasks) == ["MTEB.Pairs", "MTEB.Kinds"]
    assert dalr(monkeypatch, "evaluate", tiny_bert, "--mteb", "Pairs", "--ray", "--out", out) == 2
    assert "leave --ray out" in capsys.readouterr().err
