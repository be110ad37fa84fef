"""Messages name an argument as whoever reads them wrote it: `out` in Python, `--out` on the command line."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import dalr
from dalr.__main__ import main
from dalr.errors import argument, command_line
from dalr.extensions import load
from tests.reports import make
from tests.small_run import small_config, write_corpora


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bert: Path) -> Path:
    """The working directory: a model, a report's sources, a recipe whose inputs are there, and a file named a-file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(tiny_bert)
    (tmp_path / "senteval" / "downstream").mkdir(parents=True)
    (tmp_path / "a-file").write_text("no folder\n")
    make.two_models(tmp_path / "reported", seeds=(1,))
    (tmp_path / "corpora").mkdir()
    write_corpora(tmp_path / "corpora", np.random.default_rng(0))
    config = small_config(tmp_path / "corpora", tiny_bert, evaluation__data=None, evaluation__tasks=[])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.dump()))
    return tmp_path


def report(**options: Any) -> object:
    return dalr.report("reported", figures=False, quiet=True, **options)


REPORT = "report reported --out page --no-figures"

CASES: dict[str, tuple[Callable[[], object], str, str, str]] = {
    "a value": (
        lambda: dalr.evaluate("model", tasks="sts"),
        "evaluate model --tasks sts --out r.json",
        "data: missing; STS12 is read",
        "--data: missing; STS12 is read",
    ),
    "several": (
        lambda: dalr.evaluate("model"),
        "evaluate model --out r.json",
        "data, custom or mteb: missing",
        "--data, --custom or --mteb: missing",
    ),
    "of two words": (
        lambda: dalr.evaluate("model", data="senteval", image_ids="ids.txt"),
        "evaluate model --data senteval --image-ids ids.txt --out r.json",
        "captions, image_features, image_ids, split and folds go with tasks retrieval",
        "--captions, --image-features, --image-ids, --split and --folds go with --tasks retrieval",
    ),
    "a flag to set": (
        lambda: dalr.evaluate("model", data="senteval", workers=2),
        "evaluate model --data senteval --workers 2 --out r.json",
        "workers, gpus and address are for evaluating on Ray; add ray=True",
        "--workers, --gpus and --address are for evaluating on Ray; add --ray",
    ),
    "a folder": (
        lambda: dalr.train(dalr.recipe("config.yaml"), out="a-file/run", local=True, quiet=True),
        "train config.yaml --local --out a-file/run",
        "out: cannot write to",
        "--out: cannot write to",
    ),
    "an empty text": (
        lambda: dalr.train(dalr.recipe("config.yaml"), out="", local=True, quiet=True),
        "train config.yaml --local --out=",
        "out is empty; give",
        "--out is empty; give",
    ),
    "a list": (
        lambda: dalr.train(dalr.recipe("config.yaml"), out="run", report_to=["tensorbord"]),
        "train config.yaml --out run --report-to tensorbord",
        "report_to: unknown tracker 'tensorbord'",
        "--report-to: unknown tracker 'tensorbord'",
    ),
    "a row": (
        lambda: report(baseline="nobody"),
        f"{REPORT} --baseline nobody",
        "baseline nobody: no measured row has that name",
        "--baseline nobody: no measured row has that name",
    ),
    "another name": (
        lambda: report(names={"nobody": "X"}),
        f"{REPORT} --name nobody=X",
        "names nobody=X: no row is called 'nobody'",
        "--name nobody=X: no row is called 'nobody'",
    ),
    "a word of several": (
        lambda: report(sts_aggregation="median"),
        f"{REPORT} --sts-aggregation median",
        "sts_aggregation median: expected one of",
        "--sts-aggregation median: expected one of",
    ),
    "a function": (
        lambda: load("nowhere.py"),
        "tasks --import nowhere.py",
        "load nowhere.py: no such file",
        "--import nowhere.py: no such file",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_message_names_arguments_as_they_were_written(
    case: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call, words, in_python, on_command_line = CASES[case]
    with pytest.raises(dalr.InputError) as refused:
        call()
    assert in_python in str(refused.value)
    assert "--" not in str(refused.value)

    monkeypatch.setattr(sys, "argv", ["dalr", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert on_command_line in capsys.readouterr().err


def test_flags_are_written_with_their_value() -> None:
    assert (argument("extend", True), argument("preflight", False)) == ("extend=True", "preflight=False")
    with command_line():
        assert (argument("extend", True), argument("preflight", False)) == ("--extend", "--no-preflight")
    assert argument("max_failures") == "max_failures"
