"""What can be found without reading source: bundled sweeps, keys and recipes in the shell, a schema for editors, and a
study in Optuna by a name that can be known."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import optuna
import pytest
import yaml
from optuna.storages import RDBStorage

from dalr.__main__ import main
from dalr.config.loading import load_config
from dalr.config.overrides import to_yaml
from dalr.config.recipes import RECIPES
from dalr.sweeps.spec.loading import bundled_specs
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes


def said(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["dalr", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_bundled_sweeps_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(["sweep", "--list"], monkeypatch, capsys).splitlines()
    assert [line.split()[0] for line in lines] == bundled_specs()
    assert all(len(line.split()) > 5 for line in lines)


def completions(line: str) -> list[str]:
    """What bash is offered for a line that ends with the word to complete."""
    words = line.split(" ")
    variables = {"_DALR_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    command = [sys.executable, "-m", "dalr"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("dalr swe", ["sweep"]),
        ("dalr train rank", ["rankcse"]),
        ("dalr train dalr optim.learning", ["optim.learning_rate="]),
        ("dalr features dalr --tok", ["--tokens"]),
        ("dalr sweep dalr_", ["dalr_core", "dalr_full"]),
        ("dalr sweep dalr_core budget.tri", ["budget.trials="]),
        ("dalr config objective.cross", ["objective.cross_modal"]),
        ("dalr recipes quick", ["quickstart"]),
        ("dalr data fe", ["fetch"]),
    ],
)
def test_a_shell_completes_commands_recipes_sweeps_and_keys(line: str, offered: list[str]) -> None:
    assert completions(line) == offered


def test_the_schema_takes_every_config_file_and_refuses_what_the_package_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = json.loads(said(["config", "--schema"], monkeypatch, capsys))
    checker = jsonschema.Draft202012Validator(schema)
    for name in RECIPES:
        checker.validate(yaml.safe_load(to_yaml(load_config(name).config)))
    checker.validate({"recipe": "dalr", "train": {"steps": 5}})
    for wrong in (
        {"trian": {}},
        {"train": {"stpes": 5}},
        {"train": {"steps": "five"}},
        {"objective": {"temperature": 0}},
        {"objective": {"rank_loss": "listnett"}},
        {"objective": {"weights": {"rnak": 1.0}}},
    ):
        assert not checker.is_valid(wrong), wrong
    described = schema["$defs"]["OptimConfig"]["properties"]["learning_rate"]["description"]
    assert described == "the rate after the warm-up"


def test_a_study_opens_in_optuna_by_the_recipes_name(tmp_path: Path) -> None:
    searched = coordinator(spec(budget={"trials": 3}), tmp_path / "plain")
    fakes.work(searched)
    storage = RDBStorage(f"sqlite:///{tmp_path}/plain/study.db")
    assert optuna.get_all_study_names(storage) == ["quickstart"], "and no empty study beside it"
    assert len(optuna.load_study(study_name="quickstart", storage=storage).trials) == 3
    storage.engine.dispose()

    rerun = coordinator(spec(budget={"trials": 3}, seeds={"final": 2}), tmp_path / "rerun")
    fakes.work(rerun)
    storage = RDBStorage(f"sqlite:///{tmp_path}/rerun/study.db")
    assert optuna.get_all_study_names(storage) == ["quickstart", "quickstart-final"]
    assert len(optuna.load_study(study_name="quickstart-final", storage=storage).trials) == 4
    storage.engine.dispose()
