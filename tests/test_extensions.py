"""A user's own module: what it adds has keys, is trained, searched and reported, travels, and is named."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
import yaml

import dalr
from dalr import extensions
from dalr.__main__ import without_imports
from dalr.cluster.preflight.memory import encoder_config
from dalr.config.overrides import with_overrides
from dalr.evaluation.plan import asked_tasks
from dalr.extensions import checksums, load, load_carried, load_installed
from dalr.identity import identity_of
from dalr.losses.terms import TERMS
from dalr.model.checksum import model_checksum
from dalr.model.image_teacher import image_teacher, weights_fingerprint
from dalr.model.loading import load_encoder
from dalr.sweeps.search.samplers import make_sampler
from dalr.sweeps.spec.parts import SamplerSpec
from tests import ROOT
from tests.small_run import small_config, write_corpora
from tests.user_module import small, write_module


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    extensions.forget()
    assert "spread" not in TERMS


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return write_module(tmp_path / "mine")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpora(folder, np.random.default_rng(0))
    return folder


def test_a_term_and_a_task_are_trained_scored_and_named(
    module: Path, corpora: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    with pytest.raises(dalr.InputError, match="unknown key objective"):
        small(corpora, tiny_bert)
    load(module)
    run = dalr.train(small(corpora, tiny_bert), out=tmp_path / "run", local=True, quiet=True)
    assert run.metrics["term/spread"].drop_nulls().min() > 0
    assert list(run.result.scores) == ["OurPairs"]  # type: ignore[union-attr]
    digest = checksums()["my_terms"]
    notes = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert notes["imports"] == {"my_terms": digest}
    assert notes["contents"]["import.my_terms"] == digest
    assert run.result.provenance.imports == {"my_terms": digest}  # type: ignore[union-attr]
    figure = dalr.report(run).figures["terms"]
    assert "spread" in {row["term"] for row in figure["data"]["values"]}


def test_a_module_belongs_to_the_identity_of_the_runs_that_use_it_alone(
    module: Path, corpora: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    plain = small_config(corpora, tiny_bert)
    before = identity_of(plain).fingerprint
    load(module)
    assert identity_of(plain).fingerprint == before
    mine = small(corpora, tiny_bert)
    dalr.train(mine, out=tmp_path / "run", local=True, quiet=True)
    module.write_text(module.read_text() + "\n# another content\n")
    load(module)
    with pytest.raises(dalr.InputError, match=r"holds another run; my_terms\.py: the module holds something else"):
        dalr.train(mine, out=tmp_path / "run", local=True, quiet=True)


def test_a_run_of_somebody_elses_executes_nothing_and_is_evaluated_all_the_same(
    module: Path, corpora: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    load(module)
    dalr.train(small(corpora, tiny_bert), out=tmp_path / "run", local=True, quiet=True)
    extensions.forget()
    assert dalr.encode(tmp_path / "run", ["a man plays"]).shape == (1, 32)
    result = dalr.evaluate(tmp_path / "run", custom=own_file(tmp_path), quiet=True)
    assert (result.provenance.seed, result.provenance.imports) == (1, {})
    assert not extensions._modules


def own_file(folder: Path) -> Path:
    write_module(folder / "declared")
    values = {"tasks": [{"name": "Declared", "kind": "sts", "files": {"test": "declared/test.tsv"}}]}
    (folder / "tasks.yaml").write_text(yaml.safe_dump(values))
    return folder / "tasks.yaml"


def test_an_added_task_is_scored_where_it_is_named(module: Path, tmp_path: Path) -> None:
    load(module)
    declared = own_file(tmp_path)
    assert [task.name for task in asked_tasks("OurPairs", None, None, "test")[1]] == ["OurPairs"]
    assert [task.name for task in asked_tasks(None, None, declared, "test")[1]] == ["Declared"]
    assert [task.name for task in asked_tasks(["custom"], None, declared, "test")[1]] == ["Declared", "OurPairs"]


def test_the_text_travels_to_a_process_that_does_not_see_the_file(module: Path) -> None:
    load(module)
    carried = extensions.carried()
    for path in module.parent.iterdir():
        path.unlink()
    code = (
        "import json, sys; from dalr.extensions import load_carried, checksums; from dalr.losses.terms import TERMS; "
    )
    code += "load_carried(json.load(sys.stdin)); print(list(TERMS)[-1], checksums())"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, input=json.dumps(carried), capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split(maxsplit=1) == ["spread", f"{checksums()}\n"]
    known = dict(TERMS)
    load_carried(carried)
    assert known == TERMS, "what is there already is not imported twice"


def test_a_file_that_changed_takes_the_place_of_what_it_was(module: Path) -> None:
    load(module)
    first = TERMS["spread"]
    module.write_text(module.read_text().replace('"spread"', '"apart"'))
    load(module)
    assert "spread" not in TERMS
    assert TERMS.pop("apart") is not first
    TERMS["apart"] = first  # for `nothing_stays`, which takes it back


TAKEN = "from dalr.losses.terms import TERMS\nfrom dalr import extensions\nextensions.add_term('rank', TERMS['rank'])\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name\n", "line 1: ModuleNotFoundError"),
        ("x = 1\n\nx.y\n", "line 3: AttributeError"),
        ("def f(:\n", "line 1: SyntaxError"),
        ("from dalr.extensions import add_sampler\nadd_sampler('two words', 1)\n", "'two words' is no name"),
        ("from dalr.extensions import add_task\nadd_task('T', {'kind': 'sts', 'folder': 'here'})\n", None),
        (TAKEN, "the name rank is taken"),
        (
            "from dalr.extensions import add_pooler\nfor _ in range(2):\n    add_pooler('mine', len)\n",
            "the name mine is taken",
        ),
    ],
)
def test_what_is_wrong_with_a_module_is_one_line_and_adds_nothing(
    text: str, message: str | None, tmp_path: Path
) -> None:
    (tmp_path / "wrong.py").write_text(text)
    if message is None:
        load(tmp_path / "wrong.py")
        with pytest.raises(dalr.InputError, match="expected a task, or a mapping whose folder is absolute"):
            asked_tasks("T", None, None, "test")
        return
    with pytest.raises(dalr.InputError, match=re.escape(message)) as refused:
        load(tmp_path / "wrong.py")
    assert str(tmp_path / "wrong.py") in str(refused.value)
    assert not extensions._added


def test_nothing_is_added_outside_of_a_module_or_from_nowhere(tmp_path: Path) -> None:
    with pytest.raises(dalr.InputError, match="call it in a module of its own and load that"):
        extensions.add_pooler("mine", len)
    with pytest.raises(dalr.InputError, match="no such file"):
        load(tmp_path / "nowhere.py")
    with pytest.raises(dalr.InputError, match=r"neither a file that ends in \.py nor an installed module"):
        load("no_such_package.terms")


def test_installed_packages_are_found_by_their_entry_points(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(module.parent))
    points = {"dalr.terms": [EntryPoint("spread", "my_terms", "dalr.terms")], "dalr.tasks": []}
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points[group])
    load_installed()
    load_installed()
    assert "spread" in TERMS
    assert extensions.carried() == (("my_terms", None),)
    sys.modules.pop("my_terms")


TEACHERS = '''
import torch
from transformers import AutoModel, AutoTokenizer
from optuna.samplers import RandomSampler
from dalr.extensions import add_image_teacher, add_pooler, add_sampler, add_text_teacher

def first_and_last(outputs, mask):
    return outputs.hidden_states[0].mean(1) + outputs.last_hidden_state[:, 0]

def bert():
    return AutoModel.from_pretrained("FOLDER").eval(), AutoTokenizer.from_pretrained("FOLDER")

class Pixels(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(float(weights)))
    def preprocess(self, picture):
        return torch.zeros(3, 2, 2)
    def images(self, pixels):
        return self.scale * pixels.flatten(1)
    def captions(self, sentences, device):
        return torch.ones(len(sentences), 12)

add_pooler("first_and_last", first_and_last, every_layer=True)
add_text_teacher("our-bert", bert)
add_image_teacher("pixels", Pixels)
add_sampler("ours", lambda seed: RandomSampler(seed=seed))
'''  # fmt: skip


def test_teachers_a_pooler_and_a_sampler_take_their_places(tmp_path: Path, corpora: Path, tiny_bert: Path) -> None:
    (tmp_path / "more.py").write_text(TEACHERS.replace("FOLDER", str(tiny_bert)))
    load(tmp_path / "more.py")
    changes = {"teachers.text": [{"model": "our-bert", "pooler": "first_and_last"}]}
    config = with_overrides(small_config(corpora, tiny_bert, train__steps=2), changes)
    digest = checksums()["more"]
    assert identity_of(config).contents["import.more"] == digest
    assert dalr.train(config, out=tmp_path / "run", local=True, quiet=True).finished
    assert len(model_checksum("our-bert")) == 64
    assert load_encoder("our-bert")[0].config.hidden_size == 32
    with pytest.raises(dalr.InputError, match=r"model\.student: our-bert is a module's teacher"):
        dalr.train(with_overrides(config, {"model.student": "our-bert"}), out=tmp_path / "x", local=True, quiet=True)
    assert encoder_config("our-bert") is None, "the Hub is not asked for such a name"
    assert dalr.encode("our-bert", ["a man"]).shape == (1, 32)
    with pytest.raises(dalr.InputError, match=r"teachers\.text\.0\.pooler.*expected one of cls, .*, first_and_last"):
        with_overrides(config, {"teachers.text.0.pooler": "mean"})

    encoder = dalr.SentenceEncoder.load(str(tiny_bert), "first_and_last")
    with torch.no_grad():
        outputs = encoder.model(**encoder.tokenizer(["a man"], return_tensors="pt"), output_hidden_states=True)
    by_hand = outputs.hidden_states[0].mean(1) + outputs.last_hidden_state[:, 0]
    np.testing.assert_allclose(encoder.encode(["a man"]), by_hand.numpy(), atol=1e-5)

    teacher = image_teacher("pixels", "3")
    assert teacher.images(torch.ones(2, 3, 2, 2)).unique().item() == 3.0
    assert weights_fingerprint("pixels", "3") == f"{digest} (3)"
    study = optuna.create_study(sampler=make_sampler(SamplerSpec(name="ours", seed=3), {}))
    assert 0 <= study.ask().suggest_float("x", 0, 1) <= 1


def test_import_stands_anywhere_and_leaves_a_sent_commands_own() -> None:
    words = ["train", "dalr", "--import", "a.py", "--out", "x", "--import=b.py"]
    assert without_imports(words) == (["train", "dalr", "--out", "x"], ["a.py", "b.py"])
    sent = ["submit", "--", "train", "--import", "a.py"]
    assert without_imports(sent) == (sent, [])
