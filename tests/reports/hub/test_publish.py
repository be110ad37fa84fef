"""The model card and what a push would send."""

import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from dalr.errors import InputError
from dalr.reports.commands import publish
from dalr.reports.hub.card import model_card
from dalr.reports.hub.publish import plan, size_text
from dalr.results import STS, TRANSFER
from tests.reports import make


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with a model folder and results on all tasks."""
    results = {"sts.json": make.result(), "transfer.json": make.result(tasks=TRANSFER, base=80.0)}
    folder = make.run(tmp_path / "dalr-1", results=results)
    model = folder / "model"
    (model / "1_Pooling").mkdir(parents=True)
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json", "1_Pooling/config.json"):
        (model / name).write_text("{}")
    (model / "model.safetensors").write_bytes(bytes(2_500_000))
    modules = [{"idx": 0, "path": ""}, {"idx": 1, "path": "1_Pooling"}]
    (model / "modules.json").write_text(json.dumps(modules))
    return folder


def test_the_card_says_from_what_a_run_started_and_how_it_was_extended(tmp_path: Path) -> None:
    extension = {"step": 100, "from": {"train.steps": 100}, "to": {"train.steps": 200}, "schedule": "linear, from here"}
    made = {"results": {"sts.json": make.result()}, "notes": {"extensions": [extension]}}
    card = model_card(make.run(tmp_path / "a", model__init="/home/me/runs/first/model", **made), "me/dalr")
    assert "its weights those of `…/first/model` at the start" in card or "first/model` at the start" in card
    assert "After step 100 the run was extended, train.steps from 100 to 200; the learning rate: linear" in card
    assert "/home/me" not in card


def _metadata(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_has_the_hub_s_metadata_with_every_result(run: Path) -> None:
    card = model_card(run, "me/dalr")
    metadata = _metadata(card)
    (index,) = metadata["model-index"]
    assert index["name"] == "me/dalr"
    found = {entry["dataset"]["config"]: entry["metrics"][0] for entry in index["results"]}
    assert list(found) == [*STS, *TRANSFER]
    assert found["STS13"] == {"type": "spearman_cosine", "value": 71.0, "name": "Spearman x 100"}
    assert found["MR"]["type"] == "accuracy"
    assert metadata["base_model"] == "tiny"


def test_the_card_is_read_by_the_hub_s_own_library(run: Path) -> None:
    cards = pytest.importorskip("huggingface_hub")
    card = cards.ModelCard(model_card(run, "me/dalr"))
    assert card.data.model_name == "me/dalr"
    assert len(card.data.eval_results) == 14


def test_the_card_says_how_to_use_it_its_limits_and_its_config(run: Path) -> None:
    card = model_card(run, "me/dalr")
    assert 'SentenceTransformer("me/dalr")' in card
    assert "| 70.00 | 71.00 | 72.00 | 73.00 | 74.00 | 75.00 | 76.00 | 73.00 |" in card
    assert "recipe `dalr`" in card
    assert "learning_rate: 0.0003" in card
    assert "## Limits" in card
    assert "Not the official data" not in card
    assert "somebody" not in card
    assert "captions: …/flickr8k/captions.csv" in card
    assert card == model_card(run, "me/dalr")


def test_the_card_says_when_the_data_are_not_official(run: Path) -> None:
    make.result(official_data=False).write(run / "results" / "sts.json")
    assert "**Not the official data**" in model_card(run, "x")


def test_a_run_without_results_has_no_card(tmp_path: Path) -> None:
    run = make.run(tmp_path / "a", results={"dev.json": make.result(protocol="dev")})
    with pytest.raises(InputError, match="no results under protocol test; first: dalr evaluate"):
        model_card(run, "x")


@pytest.mark.parametrize("place", ["", "model"])
def test_a_dry_run_lists_files_and_sizes_and_writes_nothing(run: Path, place: str) -> None:
    app = typer.Typer()
    app.command()(publish)
    done = CliRunner().invoke(app, [str(run / place), "--dry-run", "--name", "me/dalr"])
    assert done.exit_code == 0, done.output
    assert "2.5 MB  model.safetensors" in done.output
    assert "README.md  (the model card)" in done.output
    assert "7 files, to me/dalr" in done.output
    assert "checkpoints" not in done.output
    assert not (run / "model" / "README.md").exists()
    assert CliRunner().invoke(app, [str(run / place), "--quiet"]).exit_code == 0
    assert (run / "model" / "README.md").read_text() == model_card(run, "dalr-1")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("remove", "model.safetensors"), "missing: model.safetensors"),
        (("remove", "tokenizer.json"), "missing: tokenizer.json"),
        (("remove", "1_Pooling/config.json"), "missing: 1_Pooling/config.json"),
        (("empty", "config.json"), "empty: config.json"),
        (("add", "pytorch_model.bin"), "not to be sent: pytorch_model.bin"),
        (("add", ".env"), "not to be sent: .env"),
        (("break", "modules.json"), "modules.json: not a list of modules"),
    ],
)
def test_an_unfit_folder_is_refused_by_name(run: Path, change: tuple[str, str], expected: str) -> None:
    what, name = change
    path = run / "model" / name
    if what == "remove":
        path.unlink()
    else:
        path.write_text({"empty": "", "add": "secret", "break": '{"a": 1}'}[what])
    with pytest.raises(InputError, match=expected.replace(".", r"\.")):
        plan(run)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a run's folder, nor the model in one"):
        plan(tmp_path)
    run = make.run(tmp_path / "a")
    with pytest.raises(InputError, match=r"has no model/ yet"):
        plan(run)


def test_sizes_in_words() -> None:
    assert [size_text(size) for size in (12, 1500, 87_400_000, 2_000_000_000)] == [
        "12 B",
        "1.5 kB",
        "87.4 MB",
        "2.0 GB",
    ]
