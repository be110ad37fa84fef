"""`import dalr`: light, typed, documented; every call of docs/python.md runs as it is written there."""

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dalr
from tests import ROOT
from tests.dalr.evaluation.small_data import write_small_data
from tests.small_run import write_corpora
from tests.tiny import write_tiny_bert

PAGE = ROOT / "docs" / "python.md"

SMALL: dict[str, Any] = {
    "model.max_tokens": 16,
    "model.projection_dim": 8,
    "data.text": "sentences.txt",
    "data.captions": "captions.csv",
    "data.image_features": "images.npy",
    "data.image_ids": "image_ids.txt",
    "data.store": "features",
    "data.pair_every": 2,
    "evaluation.data": "senteval",
    "teachers.text": [{"model": "bert-base-uncased"}],
    "teachers.image": None,
    "train.steps": 6,
    "train.batch_size": 8,
    "train.eval_every": 3,
}
SMALL_SWEEP = SMALL | {
    "model.student": "bert-base-uncased",
    "budget.trials": 2,
    "scheduler.name": "none",
    "seeds.final": 0,
    "resources.concurrent": 1,
    "try_first": [],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the page's paths name, small: corpora, `senteval`, `bert-base-uncased`."""
    folder = tmp_path_factory.mktemp("project")
    write_corpora(folder, np.random.default_rng(0))
    write_small_data(folder / "senteval")
    write_tiny_bert(folder / "bert-base-uncased")
    return folder


def blocks() -> list[str]:
    """The page's Python."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def snippet() -> list[str]:
    """The page's first block, statement by statement; further overrides make its sizes small, nothing else changes."""
    code = blocks()[0]
    sizes = {
        '"train.steps": 1000}': f'"train.steps": 1000, **{SMALL!r}}}',
        '"budget.trials": 20}': f'"budget.trials": 20, **{SMALL_SWEEP!r}}}',
        "workers=8": "workers=1",
    }
    for written, small in sizes.items():
        assert code.count(written) == 1
        code = code.replace(written, small)
    return [str(ast.get_source_segment(code, statement)) for statement in ast.parse(code).body]


def test_importing_dalr_takes_no_time_and_no_torch() -> None:
    code = "import sys, time; t = time.process_time(); import dalr; dir(dalr); t = time.process_time() - t; "
    code += "print(t, 'torch' in sys.modules, 'ray' in sys.modules, 'pydantic' in sys.modules, dalr.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    seconds, *loaded, version = done.stdout.split()
    assert loaded == ["False"] * 3
    assert float(seconds) < 0.3, "processor seconds"
    assert version == dalr.__version__


def test_dir_lists_every_public_name_and_each_is_documented() -> None:
    assert dir(dalr) == sorted([*dalr.MOUNTED, "__version__"])
    for name, target in dalr.MOUNTED.items():
        module, _, attribute = target.partition(":")
        value = getattr(dalr, name)
        assert value is (getattr(import_module(module), attribute) if attribute else import_module(module))
        assert value.__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        dalr.trian  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    stub = (ROOT / "dalr" / "__init__.pyi").read_text(encoding="utf-8")
    homes = {name: home for home, name in re.findall(r"^from (\S+) import \w+ as (\w+)$", stub, flags=re.MULTILINE)}
    assert homes.pop("losses") == homes.pop("extensions") == "."
    assert {name: f"dalr{home}" for name, home in homes.items()} == {
        name: target.partition(":")[0] for name, target in dalr.MOUNTED.items() if name not in ("losses", "extensions")
    }
    assert (ROOT / "dalr" / "py.typed").is_file()


def test_a_run_in_this_process_from_config_to_report(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(project)
    seen: list[int] = []

    class Steps(dalr.Callback):
        def on_step(self, step: int, metrics: Any) -> None:
            seen.append(step)

    config = dalr.recipe("dalr", **{"model.student": "bert-base-uncased", **SMALL})
    assert config.recipe == "dalr"
    run = dalr.train(config, out=tmp_path / "a", local=True, callbacks=[Steps()], quiet=True)
    assert (run.finished, run.steps, seen) == (True, 6, [1, 2, 3, 4, 5, 6])
    notes = json.loads((tmp_path / "a" / "provenance.json").read_text())
    assert notes["recipe"] == "dalr", "a report calls the row by it"
    assert run.config == config
    assert run.metrics["step"].to_list() == seen
    assert run.best_score == run.metrics["STSBenchmark.dev"].max()
    again = dalr.train(config, out=tmp_path / "a", local=True, quiet=True)
    opened = dalr.Run.open(tmp_path / "a")
    assert (again.steps, again.best_score, again.seconds) == (6, run.best_score, 0.0)
    assert (opened.steps, opened.best_score, opened.path) == (6, run.best_score, run.path)
    with pytest.raises(dalr.InputError, match="holds another run; train"):
        dalr.train(dalr.recipe(run.path, **{"train.seed": 5}), out=run, local=True, quiet=True)

    vectors = dalr.encode(run, ["A dog runs.", "A cat sits."])
    assert np.array_equal(vectors, run.encoder().encode(["A dog runs.", "A cat sits."]))
    result = dalr.evaluate(run, data="senteval", tasks="sts", out=tmp_path / "a" / "results" / "sts.json", quiet=True)
    custom = dalr.evaluate(run.encoder().encode, data="senteval", tasks=["STS12", "MR"], protocol="fast", quiet=True)
    assert custom.scores["STS12"] == pytest.approx(result.scores["STS12"])
    assert list(custom.scores) == ["STS12", "MR"]
    assert custom.to_frame().rows()[0][:3] == ("STS12", "test", custom.scores["STS12"])
    assert repr(result).startswith(f"Result('{run.path}', protocol test: STS12 ")

    report = dalr.report(run, figures=False, quiet=True)
    sts = report.tables["sts"]
    (measured,) = sts.filter(sts["kind"] == "measured").to_dicts()
    assert (measured["row"], measured["STS12"], measured["seeds"]) == ("dalr", result.scores["STS12"], 1)
    page = report._repr_html_()
    assert f"{result.scores['STS12']:.2f}" in page
    assert "<script" not in page
    assert (report.write(tmp_path / "report").parent / "report.json").is_file()
    with pytest.raises(dalr.InputError, match="is a folder to report on"):
        report.write(tmp_path / "a")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dalr.recipe("dlar"), "unknown recipe 'dlar'; did you mean dalr?"),
        (lambda: dalr.recipe("dalr", **{"train.stpes": 1}), "did you mean train.steps?"),
        (lambda: dalr.train("dalr", out="a"), "make one: dalr.recipe"),  # type: ignore[arg-type]
        (lambda: dalr.train(dalr.recipe("rankcse"), out="a", callbacks=[dalr.Callback()]), "set local, too"),
        (lambda: dalr.evaluate(3, data="senteval"), "expected a folder, a name or a function"),  # type: ignore[arg-type]
        (lambda: dalr.evaluate("bert-base-uncased", data="senteval", tasks="stx"), "unknown task 'stx'"),
        (lambda: dalr.evaluate("bert-base-uncased", data="senteval", workers=2), "add ray=True"),
        (lambda: dalr.evaluate("bert-base-uncased", data="senteval", name="mine"), "are for a function"),
        (lambda: dalr.evaluate("bert-base-uncased", tasks="retrieval", pooler="avg"), "is scored by itself"),
        (lambda: dalr.sweep("dalr_cor", out="a"), "no such sweep; did you mean dalr_core?"),
        (lambda: dalr.sweep({"recipe": "dalr", "budgt": {}}, out="a"), "budgt"),
        (lambda: dalr.Run.open("senteval"), "no run lies here"),
        (lambda: dalr.Sweep.open("senteval"), "senteval"),
        (lambda: dalr.report([]), "no folder given"),
        (lambda: dalr.report("nowhere"), "no such file or folder"),
        (lambda: dalr.encode("bert-base-uncased", "one sentence"), "expected a list of sentences"),
    ],
)
def test_what_is_wrong_is_one_line_as_on_the_command_line(
    call: Any, message: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(dalr.InputError) as refused:
        call()
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (project / "a").exists()


def block_with(word: str) -> str:
    (code,) = (block for block in blocks() if word in block)
    return code


def test_the_objective_runs_in_a_loop_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(block_with("both = torch.randn"), names)
    assert names["both"].grad.abs().sum() > 0
    assert {"text", "rank", "grounding_image", "consistency", "cross_alignment_image"} <= set(names["terms"].terms)
    assert "'rank': " in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")  # the trainer's own, of the libraries behind it
def test_the_objective_trains_inside_a_sentence_transformers_trainer(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("WANDB_DISABLED", "true")
    write_tiny_bert(project / "student", dropout=0.1)
    write_tiny_bert(project / "teacher", width=48, seed=1)
    names: dict[str, Any] = {}
    exec(block_with("SentenceTransformerTrainer("), names)
    losses = [line["loss"] for line in names["trainer"].state.log_history if "loss" in line]
    assert names["trainer"].state.global_step == 20
    assert all(np.isfinite(losses))
    before = dalr.encode(project / "student", ["a man plays"], pooler="avg")
    assert np.abs(before - dalr.encode(project / "st-run" / "model", ["a man plays"])).max() > 1e-3, "it has learned"
    assert list(names["result"].scores) == ["STSBenchmark"]


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.timeout(1500)
def test_the_page_runs_as_a_notebook(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    after = """
import json
from IPython.display import JSON
JSON({"model": run.model_path, "steps": run.metrics.height, "best": run.best_score, "width": list(vectors.shape),
      "encoder": run.encoder().dimension, "scores": result.scores, "frame": result.to_frame().height,
      "trials": sweep.trials.height, "best trial": sweep.best.values, "study": len(sweep.study.trials),
      "rows": report.tables["sts"]["row"].to_list(), "page": str(report.write("report"))})
"""
    one_start = (
        "from dalr.cluster.session import ray_session\nsession = ray_session(cpus=2, quiet=True)\nsession.__enter__()"
    )
    cells = [nbformat.v4.new_code_cell(line) for line in [one_start, *snippet(), "report", after]]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(project)}}
    ).execute()

    *calls, shown, answers = notebook.cells
    told = [str(output.get("data", output.get("text", ""))) for cell in calls for output in cell.outputs]
    assert any(re.search(r"training 6 of 6|training 6", text) for text in told), "a run shows how far it is"
    assert "<table" in shown.outputs[-1]["data"]["text/html"]
    assert "<svg" in shown.outputs[-1]["data"]["text/html"], "its figures, too"
    answer = answers.outputs[-1]["data"]["application/json"]
    assert (answer["steps"], answer["trials"], answer["study"], answer["frame"]) == (6, 2, 2, 7)
    assert answer["width"] == [1, answer["encoder"]]
    assert "dalr" in answer["rows"]
    assert (project / "report" / "index.html").is_file()
    assert answer["best"] is not None
    assert answer["best trial"]
