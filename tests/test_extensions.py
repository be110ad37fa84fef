"""A user's own module: what it adds has keys, is trained, searched and reported, travels, and is named."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
import yaml
from PIL import Image

import dalr
from dalr import extensions
from dalr.__main__ import without_imports
from dalr.cluster.preflight.memory import encoder_config
from dalr.config.loading import load_recipe
from dalr.config.overrides import with_overrides
from dalr.data.batches import PairedBatch, TeacherTargets, Views
from dalr.evaluation.custom import DeclaredClassification, DeclaredSts
from dalr.evaluation.plan import asked_tasks
from dalr.extensions import checksums, load, load_carried, load_installed
from dalr.identity import identity_of
from dalr.losses.inputs import TermInputs
from dalr.losses.objective import Objective
from dalr.losses.rows import Rows
from dalr.losses.terms import TERMS, Head, Number, Term
from dalr.model.checksum import model_checksum
from dalr.model.image_teacher import image_teacher, weights_fingerprint
from dalr.model.loading import load_encoder
from dalr.sweeps.search.samplers import make_sampler
from dalr.sweeps.spec.parts import SamplerSpec
from tests import ROOT
from tests.small_run import small_config, write_corpora
from tests.user_module import PAGE, documented, small, write_module


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


@pytest.mark.medium
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


def test_a_term_with_all_that_a_term_can_have(tmp_path: Path) -> None:
    """The page's second module: its value against the formula, alone and shared by two workers."""
    (tmp_path / "more_terms.py").write_text(documented("more_terms.py"))
    load(tmp_path / "more_terms.py")
    changes = {
        "objective.cross_modal": 1.0,
        "objective.weights.pick": 2.0,
        "objective.soft.pick": {"temperature": 0.2, "smoothing": 0.1},
        "objective.margin_vl": 0.05,
    }
    config = with_overrides(load_recipe("simcse"), changes).objective
    torch.manual_seed(0)
    objective = Objective(config, width=6, projection_dim=4, image_width=5)
    both, images, ids = torch.randn(8, 2, 6), torch.randn(8, 5), torch.ones(8, 3, dtype=torch.long)
    views = Views(pooled=both, projected=both)
    batch = PairedBatch(
        rows=torch.arange(8), input_ids=ids, attention_mask=ids, teachers=TeacherTargets(sentences=()), images=images
    )
    terms = objective(views, batch)

    mapped = images @ objective.map_pick.weight.T + objective.map_pick.bias
    cosines = torch.nn.functional.cosine_similarity(both[:, 0, None], mapped[None], dim=-1)
    angles = cosines.arccos()
    nearer = torch.where((angles > 0.05) & ~torch.eye(8, dtype=torch.bool), (angles - 0.05).cos(), cosines)
    target = torch.full((8, 8), 0.1 / 8) + 0.9 * torch.eye(8)
    for part, logits in (("pick_image", nearer / 0.2), ("pick_text", nearer.T / 0.2)):
        by_hand = -(target * logits.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(terms.terms[part], by_hand, atol=1e-5, rtol=1e-5)
    half = terms.terms["pick_image"] + terms.terms["pick_text"]  # the weight 2, an equal share for each part
    torch.testing.assert_close(terms.cross_modal, half)

    shares = [objective(views, batch, rows=rows) for rows in (slice(0, 3), slice(3, 8))]
    for part in ("pick_image", "pick_text"):
        torch.testing.assert_close(shares[0].terms[part] + shares[1].terms[part], terms.terms[part])
    assert {"margin_vl", "temperature_vl"} <= TERMS["pick"].settings
    assert TERMS["pick"].corpora == {"captions"}


def public(kind: type) -> set[str]:
    """The attributes of a class that a user's module may read or give."""
    own = {name for name in vars(kind) if not name.startswith("_")}
    return own | {field.name for field in fields(kind)} if is_dataclass(kind) else own


def test_the_page_names_everything_that_a_module_may_use() -> None:
    page = PAGE.read_text(encoding="utf-8")
    offered = {
        *(name for kind in (Term, Head, Number, TermInputs, Rows) for name in public(kind)),
        *(name for name in vars(extensions) if name.startswith("add_")),
        *(name for kind in (DeclaredSts, DeclaredClassification) for name in kind.model_fields),
        *("every_layer", "z", "z2", "h", "batch", "rows", "config"),
    }
    # what the objective makes Rows of, and the task's name, which is the first argument of add_task
    inner = {"all_of", "first", "count", "total", "device", "name", "task", "expectation"}
    assert {name for name in offered - inner if not re.search(rf"\b{name}\b", page)} == set()


def test_teachers_a_pooler_and_a_sampler_take_their_places(tmp_path: Path, corpora: Path, tiny_bert: Path) -> None:
    (tmp_path / "teachers.py").write_text(documented("teachers.py").replace("bert-base-uncased", str(tiny_bert)))
    load(tmp_path / "teachers.py")
    changes = {"teachers.text": [{"model": "our-bert", "pooler": "first_and_last"}]}
    config = with_overrides(small_config(corpora, tiny_bert, train__steps=2), changes)
    digest = checksums()["teachers"]
    assert identity_of(config).contents["import.teachers"] == digest
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
    by_hand = (outputs.hidden_states[0].mean(1) + outputs.last_hidden_state[:, 0]) / 2
    np.testing.assert_allclose(encoder.encode(["a man"]), by_hand.numpy(), atol=1e-5)

    teacher = image_teacher("colours", "3")
    red = teacher.preprocess(Image.new("RGB", (16, 9), (255, 0, 0)))
    assert red.shape == (3, 8, 8)
    assert teacher.images(red[None]).tolist() == [[3.0, 0.0, 0.0]]
    assert teacher.captions(["a" * 50], "cpu").tolist() == [[0.5] * 3]
    assert weights_fingerprint("colours", "3") == f"{digest} (3)"
    study = optuna.create_study(sampler=make_sampler(SamplerSpec(name="patient", seed=3), {}))
    assert 0 <= study.ask().suggest_float("x", 0, 1) <= 1


def test_import_stands_anywhere_and_leaves_a_sent_commands_own() -> None:
    words = ["train", "dalr", "--import", "a.py", "--out", "x", "--import=b.py"]
    assert without_imports(words) == (["train", "dalr", "--out", "x"], ["a.py", "b.py"])
    sent = ["submit", "--", "train", "--import", "a.py"]
    assert without_imports(sent) == (sent, [])
