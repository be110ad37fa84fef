"""What a person wrote, on a command line or in a file, is what the config holds; or it is refused in one line."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalr.config.keys import PATH_KEYS, as_field_value, describe, field_at, known_keys
from dalr.config.loading import load_config, load_recipe
from dalr.config.overrides import parse_override, parse_overrides, with_overrides
from dalr.config.recipes import RECIPES
from dalr.config.schema import RunConfig
from dalr.errors import InputError

FREE_TEXT = ["model.student", "data.text", "teachers.text.0.model", "teachers.image.weights", "evaluation.metric"]


def value_of(config: RunConfig, key: str) -> Any:
    node: Any = config.dump()
    for step in key.split("."):
        node = node[int(step)] if isinstance(node, list) else node[step]
    return node


def used(text: str) -> Any:
    """What a command line's word becomes in the config."""
    key, value = parse_override(text)
    return value_of(with_overrides(load_recipe("dalr"), {key: value}), key)


@given(st.integers(0, 2**31 - 1), st.integers(0, 6))
@settings(deadline=None)
def test_a_padded_seed_is_its_number(seed: int, zeros: int) -> None:
    assert used(f"train.seed={'0' * zeros}{seed}") == seed


@given(st.floats(1e-12, 1.0), st.sampled_from(["{!r}", "{:e}", "{:.17g}", "{:.3E}", "'{!r}'"]))
@settings(deadline=None)
def test_a_number_is_itself_however_it_is_written(number: float, form: str) -> None:
    text = form.format(number)
    assert used(f"optim.learning_rate={text}") == float(text.strip("'"))


@given(
    st.sampled_from(FREE_TEXT),
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1).filter(
        lambda text: text[0] not in "~\"'/" and text.lower() != "null"
    ),
)
@settings(deadline=None)
def test_free_text_on_the_command_line_is_taken_as_it_stands(key: str, text: str) -> None:
    assert used(f"{key}={text}") == (str(Path.cwd() / text) if key in PATH_KEYS else text)


@pytest.mark.parametrize(
    "text", ["yes", "008", "1e3", "my data #1.txt", "a: b", "[x].txt", "*.txt", "true", "{a}", "& b"]
)
def test_names_that_yaml_would_read_otherwise(text: str) -> None:
    assert used(f"model.student={text}") == text


@pytest.mark.parametrize(("text", "value"), [("true", True), ("yes", True), ("no", False), ("off", False), ("1", True)])
def test_switches(text: str, value: bool) -> None:
    assert used(f"train.compile={text}") is value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train.seed=true", ["train.seed: true is not allowed", "an integer"]),
        ("train.seed=1.5", ["train.seed: 1.5 is not allowed"]),
        ("train.seed=0x", ["train.seed: '0x' is not allowed"]),
        ("objective.temperature=true", ["objective.temperature: true is not allowed", "a number"]),
        ("objective.temperature=1e400", ["objective.temperature: Infinity is not allowed"]),
        ("train.compile=2", ["train.compile: 2 is not allowed", "true or false"]),
        ("train={}", ["expected key=value"]),
        ("optim.learning_rate={a: 1, a: 2}", ["stands twice"]),
        ("teachers.text.2.weight=1", ["teachers.text has 2 elements", "0 to 1"]),
        ("optim.lr=1", ["unknown key optim.lr", "optim.learning_rate"]),
        ("per_device_train_batch_size=8", ["train.batch_size"]),
        ("num_train_epochs=1", ["train.epochs"]),
        ("max_seq_length=8", ["model.max_tokens"]),
        ("seed=1", ["train.seed"]),
    ],
)
def test_what_is_refused_names_the_key_and_what_it_may_be(text: str, words: list[str]) -> None:
    if text == "train={}":
        assert used("train={}") == load_recipe("dalr").dump()["train"]  # nothing in it, so nothing is set
        return
    with pytest.raises(InputError) as caught:
        used(text)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_key_that_is_set_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"train\.seed is set twice"):
        parse_overrides(["train.seed=1", "train.steps=3", "train.seed=2"])


def test_a_mapping_sets_its_keys_and_leaves_the_others() -> None:
    config = with_overrides(load_recipe("dalr"), {"objective": {"temperature": 0.1, "weights": {"rank": 0.5}}})
    assert (config.objective.temperature, config.objective.weights.rank) == (0.1, 0.5)
    assert (config.objective.cross_modal, config.objective.weights.local_global) == (0.1, 1.0)


def test_a_file_changes_the_recipe_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("recipe: mcse\ntrain: {steps: 5}\noptim.learning_rate: 1e-4\n")
    config, written = load_config(str(path), {"train.seed": 7})
    base = load_recipe("mcse")
    assert config.objective == base.objective
    assert (config.train.steps, config.train.epochs, config.train.seed) == (5, None, 7)
    assert config.optim.learning_rate == 1e-4
    assert written == {"train.steps", "optim.learning_rate", "train.seed"}
    (tmp_path / "above.yaml").write_text(f"recipe: {path}\ntrain: {{steps: 9}}\n")
    above = load_config(str(tmp_path / "above.yaml")).config
    assert (above.train.steps, above.optim.learning_rate) == (9, 1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("recipe: mcsee", "did you mean mcse?"),
        ("recipe: [dalr, mcse]", "the name of one recipe"),
        ("recipe: {path}", "based on itself"),
        ("recipe: dalr\nspace: {train.seed: {int: [1, 2]}}", "space is a key of a sweep"),
        ("recipe: dalr\nseed: 3", "did you mean train.seed?"),
        ("model: {student: 12}", "12 is not allowed; expected text; to mean text, write it in quotes: '12'"),
        ("train: {seed: 1, seed: 2}", "'seed' stands twice"),
    ],
)
def test_a_wrong_file_is_named_with_what_would_be_right(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("{path}", str(path)))
    with pytest.raises(InputError) as caught:
        load_config(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("door", ["file", "file with a root", "command line", "recipe file and command line"])
def test_relative_paths_lie_under_the_root_where_one_is_set(
    door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    root = {"data.root": "corpora"}
    if door == "command line":
        config = load_config("simcse", {**root, "data.text": "mine.txt"}).config
        assert config.data.captions == str(tmp_path / "corpora/flickr30k/dataset_flickr30k.json")
    else:
        own = "root: corpora, " if door == "file with a root" else ""
        path.write_text(f"recipe: simcse\ndata: {{{own}text: mine.txt}}")
        config = load_config(str(path), root if door == "recipe file and command line" else None).config
    base = tmp_path if door == "file" else tmp_path / "corpora"
    assert config.data.text == str(base / "mine.txt")
    if door != "file":
        assert (config.data.root, config.data.store) == (str(base), str(base / "features"))


def test_the_environment_names_the_root_of_configs_that_set_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DALR_DATA", str(tmp_path / "env"))
    config = load_config("simcse", {"data.images": "pictures"}).config
    assert config.data.root == str(tmp_path / "env")
    assert config.data.images == str(tmp_path / "env/pictures")
    assert config.evaluation.data == str(tmp_path / "env/senteval")
    assert load_config("simcse", {"data.root": str(tmp_path)}).config.data.root == str(tmp_path)


def test_another_root_takes_the_paths_below_the_old_one_along(tmp_path: Path) -> None:
    written = load_config("simcse", {"data.root": "/old", "data.images": "/else/pictures"}).config
    moved = with_overrides(written, {"data.root": "/new"})
    assert moved.data.text == "/new/wiki1m_for_simcse.txt"
    assert (moved.data.store, moved.evaluation.data) == ("/new/features", "/new/senteval")
    assert moved.data.images == "/else/pictures"


def test_the_keys_that_are_paths_are_those_of_the_path_type() -> None:
    assert set(PATH_KEYS) == {key for key in known_keys() if (field_at(key) is not None and "a path" in describe(key))}
    assert {"data.text", "evaluation.data", "data.store"} <= set(PATH_KEYS)
    assert not {"model.student", "evaluation.metric", "teachers.image.weights"} & set(PATH_KEYS)


def test_every_key_says_what_it_is() -> None:
    assert [key for key in known_keys() if not field_at(key).description] == []  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("key", "value", "held"),
    [
        ("optim.learning_rate", "1e-4", 1e-4),
        ("optim.learning_rate", 1, 1.0),
        ("model.layers", None, None),
        ("train.steps", 3, 3),
        ("objective.rank_loss", "listnet", "listnet"),
    ],
)
def test_a_value_as_its_field_holds_it(key: str, value: Any, held: Any) -> None:
    assert as_field_value(key, value) == held
    assert type(as_field_value(key, value)) is type(held)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_it_is(name: str) -> None:
    assert RECIPES[name].summary
    assert RECIPES[name].source
    assert RECIPES[name]() == load_recipe(name)


@pytest.mark.parametrize(
    "key", [key for key in known_keys() if describe(key).startswith("expected a list [...] of text")]
)
def test_a_list_of_names_is_a_list(key: str) -> None:
    assert used(f"{key}=[]") == []
    assert used(f"{key}=[STS12, MR]") == ["STS12", "MR"]
