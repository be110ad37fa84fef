"""The run's folder: metrics lines after a resume, leftovers of a kill, another run's folder."""

import json
from pathlib import Path

import pytest

from dalr.config.overrides import to_yaml, with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.files import sha256_of
from dalr.identity import identity_of
from dalr.training.run_folder import MetricsLog, RunFolder


def test_lines_after_the_checkpoint_and_a_cut_line_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.0}\n{"step": 3, "loss": 1.0}\n{"step": 4, "lo')
    log = MetricsLog(path, step=2)
    log.write(3, {"loss": 0.5})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": 2.0},
        {"step": 3, "loss": 0.5},
    ]
    log.close()


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path, small: RunConfig) -> None:
    half = tmp_path / "checkpoints" / ".step-000004.ab12cd34.tmp"
    half.mkdir(parents=True)
    (half / "student.safetensors").write_text("half")
    folder = RunFolder(tmp_path)
    folder.open(identity_of(small), "dalr")
    assert not half.exists()
    assert folder.last_step() == 0


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path, small: RunConfig) -> None:
    folder = RunFolder(tmp_path)
    folder.open(identity_of(small), "dalr")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"train\.seed was 1, is 2"):
        folder.open(identity_of(with_overrides(small, {"train.seed": 2})), "dalr")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_provenance_says_how_a_run_differs_from_its_recipe_and_what_it_reads(
    tmp_path: Path, small: RunConfig
) -> None:
    captions = tmp_path / "captions.csv"
    captions.write_text("image,caption\n0.jpg,a man\n")
    folder = RunFolder(tmp_path / "run")
    config = with_overrides(small, {"data.captions": str(captions)})
    folder.open(identity_of(config), "dalr")
    notes = folder.notes()
    assert notes["overrides"]["optim.learning_rate"] == 1e-3
    assert notes["overrides"]["teachers.text.0.pooler"] == "avg"
    assert "objective.temperature" not in notes["overrides"]
    assert "data.root" not in notes["overrides"]
    assert notes["contents"]["data.captions"] == sha256_of(captions)
    captions.write_text("image,caption\n0.jpg,a woman\n")
    with pytest.raises(InputError, match=r"data\.captions: .*captions\.csv holds something else than it did"):
        folder.open(identity_of(config), "dalr")
    assert folder.notes() == notes


def test_a_finished_run_is_known_without_reading_its_data(tmp_path: Path) -> None:
    config = with_overrides(RunConfig(), {"evaluation.tasks": ["STS12"]})
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    assert folder.finished(config) is None
    (folder.path / "config.yaml").write_text(to_yaml(config))
    folder.note_end({"steps": 3, "best_step": 2, "best_score": 71.5})
    assert folder.finished(config) is None  # no model yet
    folder.model.mkdir()
    (folder.model / "config.json").write_text("{}")
    assert folder.finished(config) is None  # not scored yet
    folder.results.mkdir()
    (folder.results / "test.json").write_text("{}")
    assert folder.finished(config) == {"steps": 3, "best_step": 2, "best_score": 71.5}
    assert folder.finished(with_overrides(config, {"evaluation.tasks": ["sts"]})) is None  # other scores are asked for


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00", "[" * 5000])
def test_a_damaged_provenance_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text(content)
    with pytest.raises(InputError, match="provenance") as caught:
        RunFolder(tmp_path).notes()
    assert "\n" not in str(caught.value)
