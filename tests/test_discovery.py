"""What can be found without reading source: bundled sweeps, keys and recipes in the shell, a schema for editors, and a
study in Optuna by a name that can be known."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import optuna
import pytest
import yaml
from optuna.storages import RDBStorage

from dalr.__main__ import SWEEP_COMMANDS, main
from dalr.config.loading import load_config
from dalr.config.overrides import to_yaml
from dalr.config.recipes import RECIPES
from dalr.sweeps.commands.completion import OTHERS
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


@pytest.fixture
def completions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], list[str]]:
    """What bash is offered for a line that ends with the word to complete. That a shell's own process hears the same is
    shown by `test_bash_and_zsh_are_offered_the_same`."""

    def offered(line: str) -> list[str]:
        monkeypatch.setenv("_DALR_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        return said([], monkeypatch, capsys).split()

    return offered


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
def test_a_shell_completes_commands_recipes_sweeps_and_keys(
    line: str, offered: list[str], completions: Callable[[str], list[str]]
) -> None:
    assert completions(line) == offered


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The folder of a sweep as far as a shell looks: its specification, and the folders of its runs."""
    (tmp_path / "sweep.yaml").write_text("recipe: dalr\nspace:\n  optim.learning_rate: {log: [1.0e-5, 1.0e-3]}\n")
    for name in ("trial-0000-seed-1", "trial-0000-seed-2", "trial-0012-seed-1", "final-0000-seed-1001"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    return tmp_path


STEERED = [
    ("dalr sweep st", ["status", "stop"]),
    ("dalr sweep re", ["reproduce", "resume"]),
    ("dalr sweep sk", ["skip"]),
    ("dalr sweep ad", ["add"]),
    ("dalr sweep ext", ["extend"]),
    ("dalr sweep se", ["seeds", "set"]),
    ("dalr sweep das", ["dashboard"]),
    ("dalr sweep status ", []),  # the shell completes folders
    ("dalr sweep best DIR ", []),
    *((f"dalr sweep {word} DIR ", ["0", "12"]) for word in ("why", "reproduce", "stop", "pause", "resume", "extend")),
    ("dalr sweep stop DIR 1", ["12"]),
    ("dalr sweep skip DIR ", []),  # what has not begun has no folder
    ("dalr sweep add DIR opt", ["optim.learning_rate="]),
    ("dalr sweep set DIR budget.t", ["budget.trials="]),
    ("dalr sweep extend DIR 12 train.s", ["train.steps="]),
    ("dalr sweep dashboard DIR --po", ["--port"]),
    ("dalr sweep stop /nowhere ", []),
]


@pytest.mark.parametrize(("line", "offered"), STEERED)
def test_a_shell_completes_what_asks_about_a_sweep_and_steers_it(
    line: str, offered: list[str], begun: Path, completions: Callable[[str], list[str]]
) -> None:
    assert completions(line.replace("DIR", str(begun))) == offered


def test_every_word_about_a_sweep_is_completed() -> None:
    assert set(SWEEP_COMMANDS) == set(OTHERS)


def test_bash_and_zsh_are_offered_the_same(begun: Path) -> None:
    """bash by the script that --show-completion prints; of zsh, which need not be here, what its script evaluates."""
    line = f"dalr sweep stop {begun} "
    bash = (
        'eval "$(PROGRAM --show-completion bash)"; read -ra COMP_WORDS <<< "$LINE"; COMP_CWORD=${#COMP_WORDS[@]}; '
        '_dalr_completion dalr; echo "${COMPREPLY[@]}"'
    )
    with_path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "LINE": line, "PATH": with_path, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = bash.replace("PROGRAM", "dalr")
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "12"], done.stderr

    variables = {**os.environ, "_DALR_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
    words = [sys.executable, "-m", "dalr"]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
    assert re.findall(r'"([^"]*)"', done.stdout) == ["0", "12"]
    assert done.stdout.startswith("_arguments '*: :((")


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
