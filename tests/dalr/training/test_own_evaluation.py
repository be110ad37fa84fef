"""A run, and a sweep, that are judged by a task of the user's own, without the benchmark's data."""

import json
from pathlib import Path

import pytest

from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.evaluation import SentenceEncoder, dev_score
from dalr.evaluation.plan import own_tasks
from dalr.identity import identity_of
from dalr.results import read_result
from dalr.sweeps.spec.loading import load_spec
from dalr.training.inputs import check_inputs
from dalr.training.loop import train
from tests.dalr.evaluation.test_custom import write_own_tasks


@pytest.fixture
def judged(small: RunConfig, tmp_path: Path) -> RunConfig:
    """The small run without the benchmark's data, judged by the user's own `Pairs.dev`."""
    own = {"evaluation.custom": str(write_own_tasks(tmp_path)), "evaluation.metric": "Pairs.dev"}
    return with_overrides(small, {"evaluation.data": None, "train.steps": 2, "train.eval_every": 1, **own})


def test_it_chooses_the_checkpoint_and_scores_the_exported_model(judged: RunConfig, tmp_path: Path) -> None:
    config = with_overrides(judged, {"evaluation.tasks": ("sts", "Pairs", "Reviews")})
    check_inputs(config)
    outcome = train(config, tmp_path / "run", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    scores = [line["Pairs.dev"] for line in lines if "Pairs.dev" in line]
    assert len(scores) == 2
    assert outcome.best_score == max(scores)
    encoder = SentenceEncoder.load(str(tmp_path / "run"))
    own = own_tasks(config.evaluation.custom)
    assert dev_score(encoder.encode, None, "Pairs.dev", own) == pytest.approx(outcome.best_score)
    result = read_result(tmp_path / "run" / "results" / "test.json")
    assert list(result.tasks) == ["Reviews", "Pairs"]  # `sts` needs the benchmark's data, which is not there
    assert result.provenance.official_data is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"evaluation.tasks": ("Pears",)},
            "evaluation.tasks: unknown task 'Pears'; known: .*; your own: Reviews, Pairs",
        ),
        ({"evaluation.custom": "/nowhere/tasks.yaml"}, "/nowhere/tasks.yaml"),
    ],
)
def test_what_is_not_there_is_said_before_the_run(judged: RunConfig, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_inputs(with_overrides(judged, change))


def test_a_file_of_an_own_task_that_is_missing_is_said_before_the_run(judged: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").unlink()
    with pytest.raises(InputError, match=r"evaluation\.custom: no such file: .*pairs\.tsv"):
        check_inputs(judged)


def write_spec(folder: Path, **changes: object) -> Path:
    spec = {
        "recipe": "simcse",
        "overrides": {"evaluation.custom": str(folder / "tasks.yaml"), "evaluation.data": None, "train.steps": 20},
        "space": {"optim.learning_rate": {"log": [1e-5, 1e-3]}},
        "metric": "Pairs.dev",
        "scheduler": {"name": "none"},
        "budget": {"trials": 2},
    } | changes
    path = folder / "sweep.yaml"
    path.write_text(json.dumps(spec))
    return path


def test_a_sweep_takes_it_as_its_metric(tmp_path: Path) -> None:
    write_own_tasks(tmp_path)
    assert load_spec(write_spec(tmp_path)).metric[0] == "Pairs.dev"
    for metric, message in {
        "Pears.dev": "unknown task 'Pears'",
        "Pairs.train": "Pairs has no split 'train'; it has: ",
        "Pairs.test": "Pairs.test is a test split",
        "STSBenchmark.dev": "evaluation.data is not set",
    }.items():
        with pytest.raises(InputError, match=message):
            load_spec(write_spec(tmp_path, metric=metric))


def test_its_content_is_part_of_what_a_run_is_and_its_place_is_not(judged: RunConfig, tmp_path: Path) -> None:
    def fingerprint(folder: Path) -> str:
        return identity_of(with_overrides(judged, {"evaluation.custom": str(folder / "tasks.yaml")})).fingerprint

    before = fingerprint(tmp_path)
    write_own_tasks((tmp_path / "elsewhere").absolute())
    assert fingerprint(tmp_path / "elsewhere") == before
    with (tmp_path / "elsewhere" / "pairs.tsv").open("a") as file:
        file.write("1\tx\ty\n")
    assert fingerprint(tmp_path / "elsewhere") != before
