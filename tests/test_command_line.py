"""The command line: help for every command with an example, and bad input as one line with exit code 2."""

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import typer

import dalr.__main__ as dalr_main
from dalr.__main__ import COMMANDS, CONTINUED, DATA_COMMANDS, REPORTED, SWEEP_COMMANDS, main
from dalr.errors import InputError
from dalr.identity import identity_of
from dalr.training.run_folder import RunFolder
from tests import ROOT
from tests.reports import make
from tests.small_run import IMAGES, small_config, write_corpora


class Said(NamedTuple):
    code: int
    out: str
    err: str


Dalr = Callable[..., Said]


@pytest.fixture
def dalr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dalr:
    """Runs the command line in this process."""

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["dalr", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    return run


def test_python_m_dalr_is_the_same_command(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "dalr", "train", "simsce", "--out", "run"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dalr: unknown recipe 'simsce'; did you mean simcse?")


def test_the_help_page_lists_every_command(dalr: Dalr) -> None:
    said = dalr("--help")
    assert said.code == 0
    for name, entry in COMMANDS.items():
        assert name in said.out
        assert entry.help.split()[0] in said.out


@pytest.mark.parametrize("fails", [False, True])
def test_the_quickstart_scores_the_untrained_student_beside_the_training(
    fails: bool, dalr: Dalr, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither waits for the other; the failure of either ends it; in the end it says where the time went."""
    load, both = dalr_main._load, threading.Barrier(2)

    def train(*inputs: object, local: bool = False, **options: object) -> None:
        both.wait(timeout=60)
        if local and fails:
            raise InputError("no such task")

    def stand_in(target: str) -> object:
        if target == COMMANDS["train"].target:
            return train
        if target in (COMMANDS[name].target for name in ("features", "sweep", "report")):
            return lambda *inputs, **options: None
        if target.endswith(":ray_session"):
            return lambda **options: contextlib.nullcontext()
        return load(target)

    monkeypatch.setattr(dalr_main, "_load", stand_in)
    said = dalr("quickstart", "--out", tmp_path)
    if fails:
        assert (said.code, said.err) == (2, "dalr: no such task\n")
        return
    assert said.code == 0, said.err
    rows = said.out.rpartition("where the time went:\n")[2].splitlines()
    assert [re.sub(r" +\d+ s$", "", row).strip() for row in rows] == [
        "features", "sweep", "training", "report", "in all",
    ]  # fmt: skip


EVERY = [*COMMANDS, *(f"data {name}" for name in DATA_COMMANDS), *(f"sweep {name}" for name in SWEEP_COMMANDS)]


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_a_whole_help_page_with_an_example(
    name: str, dalr: Dalr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 80 columns: all that the code says of a command and its options, brackets too; no line ends early."""
    for variable in ("COLUMNS", "TERMINAL_WIDTH"):
        monkeypatch.setenv(variable, "80")
    said = dalr(*name.split(), "--help")
    assert said.code == 0, said.err
    assert "--quiet" in said.out
    usage, *_ = (line for line in said.out.splitlines() if "Usage:" in line)
    assert f"dalr {name} " in usage
    assert not re.search(r"\[\[|\.\.\.\S*\.\.\.|…", usage), "brackets and dots are Typer's"
    page, boxes = re.sub(r"[\s│]+", " ", said.out), said.out.partition("╭")[0]
    group = typer.main.get_command(dalr_main.build(name.split()))
    for word in name.split():
        group = group.commands[word]  # type: ignore[attr-defined]
    assert re.search(rf"Examples?: (dalr )?(submit|{name})", " ".join((group.help or "").split()))
    for text in (group.help, *(getattr(parameter, "help", None) for parameter in group.params)):
        assert " ".join((text or "").split()) in page
    assert all(len(part) <= 78 for part in (group.help or "").split("\n\n") if "Example: " in part), "to be copied"
    rows = [line.strip() for line in boxes.splitlines()]
    for row, after in itertools.pairwise(rows):
        if row and after and not row.startswith("dalr submit"):
            assert len(row) + 1 + len(after.split()[0]) > 78, f"{row!r} ends early"


@pytest.mark.parametrize("name", REPORTED)
def test_help_says_that_a_report_can_follow(name: str, dalr: Dalr) -> None:
    assert "--report" in dalr(name, "--help").out


@pytest.mark.medium
def test_a_report_follows_a_sweep_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dalr: Dalr
) -> None:
    def search(source: str, words: list[str], out: str, **options: object) -> None:
        make.sweep(Path(out), count=12)

    # The search itself has its own tests; what counts here is what follows.
    monkeypatch.setattr("dalr.sweeps.commands.sweep.search", search)
    monkeypatch.setattr("dalr.reports.write.export", lambda *_: None)
    assert dalr("sweep", "dalr_core", "--out", tmp_path / "plain").code == 0
    assert not (tmp_path / "plain" / "report").exists()
    said = dalr("sweep", "dalr_core", "--out", tmp_path / "core", "--report")
    assert said.code == 0, said.err
    assert f"{tmp_path / 'core' / 'report' / 'index.html'}" in said.out
    assert "Sweep core: the best trials" in (tmp_path / "core" / "report" / "report.md").read_text()
    again = dalr("report", "--check", "--out", tmp_path / "core" / "report")
    assert "figures/" in again.err  # the pictures, which were not drawn here, and nothing else
    assert all(line.startswith("figures/") for line in again.err.splitlines())


def test_no_report_follows_a_question_or_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dalr: Dalr) -> None:
    said = dalr("sweep", "status", tmp_path, "--report")
    assert (said.code, "No such option: --report" in said.err) == (2, True)
    said = dalr("sweep", "dalr_core", "--report")
    assert (said.code, said.err) == (2, "dalr: --report needs the folder to report on: --out DIR\n")

    def fails(source: str, words: list[str], out: Path, **options: object) -> None:
        raise typer.Exit(1)

    monkeypatch.setattr("dalr.sweeps.commands.sweep.search", fails)
    assert dalr("sweep", "dalr_core", "--out", tmp_path / "core", "--report").code == 1
    assert not (tmp_path / "core").exists()


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with one of each thing that a command may be given by mistake."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "a-file").write_text("not a folder\n")
    (tmp_path / "captions.csv").write_text("image,caption\n1.jpg,a man plays\n")
    (tmp_path / "senteval" / "downstream").mkdir(parents=True)
    model = tmp_path / "weightless"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "bert"}')
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train dalr objective.temprature=1 --out run", "did you mean objective.temperature"),
        ("train dalr objective.temperature=-1 --out run", ">= 0.001"),
        ("train simsce --out run", "did you mean simcse"),
        ("train dalr --workers 0 --out run", "--workers"),
        ("train simcse data.text=nowhere.txt --out run", "data.text: no such file"),
        ("train simcse data.text=empty.txt --out run", "data.text: the file is empty"),
        ("train simcse model.student=weightless SENTENCES --out run", "weights"),
        ("train simcse model.student=/nowhere SENTENCES --out run", "no such folder"),
        ("train simcse model.student=TINY SENTENCES --out a-file/run", "cannot write"),
        ("train dalr", "--out"),
        ("trian", "No such command"),
        ("features simsce", "did you mean simcse"),
        ("evaluate weightless --data senteval --out r.json", "weights"),
        ("evaluate /nowhere --data senteval --out r.json", "no such folder"),
        ("encode weightless", "weights"),
        ("report nowhere --out report", "nowhere"),
        ("sweep nowhere.yaml --out sweep", "nowhere.yaml"),
        ("data check nowhere", "nowhere"),
        ("data fetch wikipedia --out data", "wikipedia"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(
    words: str, expected: str, dalr: Dalr, broken: Path, tiny_bert: Path
) -> None:
    before = sorted(broken.rglob("*"))
    only_sentences = "data.pair_every=null data.text=a-file evaluation.data=null"
    said = dalr(*words.replace("TINY", str(tiny_bert)).replace("SENTENCES", only_sentences).split())
    assert said.code == 2, said.err
    assert expected in said.err
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert sorted(broken.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian", "dalr"], "no such command: 'trian'; did you mean train?"),
        (["statsu"], "no such command: 'statsu'; did you mean status?"),
        (["log", "dalr-1"], "no such command: 'log'; did you mean logs?"),
        (["data", "fech"], "No such command 'fech'"),
        (["train", "simsce", "--out", "/nfs/a"], "unknown recipe 'simsce'; did you mean simcse?"),
        (["train", "dalr", "optim.learning_rte=1", "--out", "/nfs/a"], "optim.learning_rte"),
        (["train", "dalr", "train.steps=-1", "--out", "/nfs/a"], "train.steps"),
        (["train", "dalr", "--out", "/nfs/a", "--worker", "2"], "No such option: --worker"),
        (["train", "dalr", "--out", "/nfs/a", "--workers", "no"], "--workers"),
        (["train", "dalr"], "Missing option"),
        (["features", "dalr", "model.studnet=x"], "model.studnet"),
        (["sweep", "dalr_cor", "--out", "/nfs/a"], "no such sweep"),
        (["sweep", "dalr_core", "budget.trails=3", "--out", "/nfs/a"], "budget.trails"),
        (["sweep", "dalr_core"], "where to?"),
        (["evaluate", "x", "--data", "/nfs/data"], "Missing option"),
    ],
)
def test_a_job_is_checked_before_it_is_sent(words: list[str], message: str, dalr: Dalr) -> None:
    """The address would be asked next: nothing listens there."""
    said = dalr("submit", "--address", "http://127.0.0.1:1", "--", *words)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert message in said.err
    assert "no job server" not in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["train", "dalr", "train.steps=3", "--out", "/nfs/a", "--workers", "64", "--gpus", "1"],
        ["train", "/nfs/only/there.yaml", "--out", "s3://bucket/a"],
        ["sweep", "dalr_core", "budget.trials=3", "--out", "/nfs/a"],
        ["sweep", "best", "/nfs/a"],
        ["data", "fetch", "senteval", "--out", "/nfs/data"],
        ["evaluate", "/nfs/a", "--data", "/nfs/data", "--out", "/nfs/a.json"],
        ["report", "/nfs/a", "--out", "/nfs/b"],
    ],
)
def test_a_job_that_only_the_cluster_can_judge_is_sent(words: list[str], dalr: Dalr, tmp_path: Path) -> None:
    said = dalr("submit", "--dry-run", "--working-dir", tmp_path, "--", *words)
    assert said.code == 0, said.err
    assert "job dalr-" in said.out


def test_a_job_is_checked_in_the_folder_that_it_takes_along(dalr: Dalr, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("recipe: simcse\ntrain: {stpes: 3}\n")
    said = dalr("submit", "--dry-run", "--working-dir", tmp_path, "--", "train", "mine.yaml", "--out", "/nfs/a")
    assert said.code == 2
    assert "mine.yaml" in said.err
    assert "stpes" in said.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train dalr --seed 5 --out x", "train.seed=5"),
        ("train dalr --train.steps 5 --out x", "train.steps=5"),
        ("train dalr --epochs 1 --out x", "train.epochs=1"),
        ("features dalr --lr=3", "optim.learning_rate=VALUE"),
        ("sweep dalr_core --batch-size 3 --out x", "train.batch_size=3"),
    ],
)
def test_an_option_that_is_a_config_key_says_how_to_write_it(words: str, expected: str, dalr: Dalr) -> None:
    said = dalr(*words.split())
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert expected in said.err


def test_alone_it_shows_help_and_with_version_its_version(dalr: Dalr) -> None:
    for words in ([], ["data"]):
        said = dalr(*words)
        assert (said.code, said.err) == (0, "")
        assert "Usage: dalr" in said.out
    assert "dalr data fetch" in dalr("data", "--help").out
    assert dalr("--version").out.startswith("dalr 0.")


OF_MODELS = {
    "torch",
    "torchvision",
    "transformers",
    "sentence_transformers",
    "open_clip",
    "ray",
    "optuna",
}
"""Libraries that take seconds to import: a wrong word, a missing file or a question must not wait for them."""


LOADED = """
import json, sys
from dalr.__main__ import main
seen = set()
for line in json.loads(sys.argv[1]):
    sys.argv = ["dalr", *line]
    try:
        main()
    except SystemExit:
        pass
    new = set(AMONG) & set(sys.modules) - seen
    seen |= new
    for module in sorted(new):
        print("loaded:", module, "by", *line)
"""


def loaded(lines: Sequence[Sequence[str]], folder: Path, among: Iterable[str]) -> tuple[list[str], str]:
    """Which of some modules are imported by command lines, one after another in one process, and by which; and what
    else they say."""
    script = LOADED.replace("AMONG", repr(set(among)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
    told = [line.removeprefix("loaded: ") for line in done.stdout.splitlines() if line.startswith("loaded: ")]
    return told, re.sub(r"^loaded: .*\n", "", done.stdout, flags=re.MULTILINE) + done.stderr


def test_what_needs_no_model_is_answered_without_the_libraries_of_models(tmp_path: Path) -> None:
    lines = [
        "train simcse data.root=/nowhere --out run",
        "train simsce --out run",
        "train simcse train.steps=0 --out run",
        "features simcse data.root=/nowhere",
        "sweep dalr_core data.root=/nowhere --out run",
        "sweep nowhere.yaml --out run",
        "evaluate /nowhere --data senteval --out r.json",
        "evaluate bert-base-uncased --data /nowhere --out r.json",
        "encode /nowhere",
        "report /nowhere --out page",
        "recipes",
        "config lr",
        "tasks",
        "data check /nowhere",
        *(f"sweep {word} --help" for word in ("stop", "set", "status")),
    ]
    modules, said = loaded([line.split() for line in lines], tmp_path, OF_MODELS)
    assert modules == []
    assert said.count("/nowhere") >= 7, "each was answered"
    assert "Usage: dalr sweep status" in said


@pytest.mark.parametrize("extend", [False, True])
@pytest.mark.parametrize("pictures", [False, True])
def test_a_finished_run_is_told_so_without_the_libraries_of_models(
    pictures: bool, extend: bool, tiny_bert: Path, tmp_path: Path
) -> None:
    """It is told by what the run read: sentences, captions, features or pictures, models, scores."""
    corpora, out = tmp_path / "corpora", tmp_path / "run"
    (corpora / "pictures").mkdir(parents=True)
    write_corpora(corpora, np.random.default_rng(0))
    for place in range(IMAGES):
        (corpora / "pictures" / f"{place}.jpg").write_bytes(b"picture %d" % place)
    instead = {
        "data__image_features": None,
        "data__image_ids": None,
        "data__images": str(corpora / "pictures"),
        "teachers__image": {"model": "ViT-B-32", "weights": "openai"},
    }
    config = small_config(corpora, tiny_bert, **(instead if pictures else {}))
    folder = RunFolder(out)
    folder.open(identity_of(config), "dalr")
    folder.model.mkdir()
    (folder.model / "config.json").write_text("{}")
    folder.note_end({"steps": 8, "best_step": 6, "best_score": 50.0})

    words = ["train", str(out / "config.yaml"), "--out", str(out), *(["--extend"] if extend else [])]
    modules, said = loaded([words], tmp_path, OF_MODELS | {"h5py", "PIL"})
    assert said.strip() == f"finished: 8 steps; best STSBenchmark.dev 50.00 at step 6; model in {out}/model"
    assert modules == []
    (corpora / "captions.csv").write_text("image,caption\n0.jpg,another\n")
    assert "data.captions" in loaded([words], tmp_path, ())[1], "the content was looked at"


def test_help_loads_typer_and_no_more(tmp_path: Path) -> None:
    others = {"pydantic", "numpy", "polars", "yaml", "jinja2", "requests", "huggingface_hub", "dalr.config.schema"}
    modules, said = loaded([["--help"]], tmp_path, OF_MODELS | others)
    assert "quickstart" in said
    assert modules == []


@pytest.mark.parametrize("name", CONTINUED)
def test_an_interrupt_says_that_the_same_command_continues(
    name: str, dalr: Dalr, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dalr.__main__.build", lambda words: lambda *_, **__: interrupted())
    assert dalr(name, "a b") == Said(130, "", f"dalr: interrupted; the same command continues: dalr {name} 'a b'\n")


@pytest.mark.parametrize("words", ["tasks", "recipes", "config lr"])
def test_a_command_that_is_interrupted_says_so(words: str, dalr: Dalr, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typer takes a Ctrl-C inside a command for itself, and ends without a word."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("typer.echo", interrupted)
    code, _, err = dalr(*words.split())
    assert (code, err) == (130, "dalr: interrupted\n")
