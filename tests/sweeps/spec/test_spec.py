"""What a specification may say, and how a wrong one is refused: in one line, before anything runs."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from dalr.errors import InputError
from dalr.sweeps.analysis.outcome import mixed_versions
from dalr.sweeps.display import plan_line
from dalr.sweeps.search.spec_file import code_versions, save_spec, saved_spec
from dalr.sweeps.spec.checks import allowed
from dalr.sweeps.spec.loading import bundled_specs, load_spec, parse_spec
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Dimension, at_edge, draw, grid, one_at_a_time
from dalr.sweeps.spec.without_effect import report_unread_in_spec
from tests.sweeps.make import spec


@pytest.mark.parametrize("name", bundled_specs())
def test_bundled_specs_are_valid(name: str) -> None:
    assert load_spec(name).searched


def test_bundled_names_are_the_promised_ones() -> None:
    assert bundled_specs() == [
        "ablation_groups",
        "ablation_terms",
        "baselines",
        "dalr_core",
        "dalr_full",
        "seeds",
        "teachers",
    ]


def test_ablation_turns_each_term_off_in_turn() -> None:
    chosen = load_spec("ablation_terms")
    settings = [chosen.settings(point) for point in chosen.design() or []]
    assert [list(values.values()) for values in settings] == [[], *[[0.0]] * 6]
    assert len({tuple(values) for values in settings}) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": {}}, "expected at least one of trials, hours and gpu_hours"),
        ({"buget": {"trials": 3}}, "unknown key buget; did you mean budget?"),
        ({"space": {"optim.learning_rat": {"log": [1e-5, 1e-3]}}}, "did you mean optim.learning_rate?"),
        ({"space": {"objective.softening": {"uniform": [0, 1.5]}}}, "expected a number >= 0.0 and <= 1.0"),
        ({"space": {"data.pair_every": {"uniform": [1, 4]}}}, "expected an integer >= 1"),
        ({"space": {"objective.rank_loss": {"choice": ["listmle", "lists"]}}}, "one of listmle, listnet"),
        ({"space": {"optim.learning_rate": {"log": [1e-3, 1e-5]}}}, "not below the high end"),
        ({"space": {"optim.learning_rate": {"log": [0, 1e-3]}}}, "not above 0"),
        ({"space": {"optim.learning_rate": {"log": [1e-5, 1e-3], "uniform": [0, 1]}}}, "exactly one of"),
        ({"try_first": [{"optim.learning_rate": 1.0}]}, "try_first[0]: optim.learning_rate: 1.0 does not lie"),
        ({"metric": "STSBenchmark.test"}, "test split"),
        ({"metric": "STSBenchmark.val"}, "no split 'val'"),
        ({"metric": ["STSBenchmark.dev", "seconds"], "direction": ["maximize"] * 3}, "expected 1 or 2"),
        ({"metric": ["STSBenchmark.dev", "seconds"], "scheduler": {"name": "asha"}}, "no order to stop by"),
        ({"scheduler": {"name": "asha", "grace_steps": 2}}, "train.eval_every is 3"),
        ({"metric": ["seconds", "STSBenchmark.dev"]}, "the first must be a score"),
        ({"constraints": {"loss": {"max": 1}}}, "constraints: 'loss': expected TASK.SPLIT"),
        ({"constraints": {"STSBenchmark.test": {"min": 60}}}, "constraints: STSBenchmark.test is a test split"),
        ({"overrides": {"evaluation.metric": "STSBenchmark.test"}}, "judged by its metric, STSBenchmark.dev"),
        ({"space": {"evaluation.metric": {"choice": ["STSBenchmark.dev"]}}}, "the same for all of them"),
        ({"sampler": {"name": "grid"}}, "needs finite dimensions"),
        ({"recipe": "quickstrt"}, "did you mean quickstart?"),
        ({"overrides": {"evaluation.data": None}}, "no trial would have a score"),
        ({"overrides": {"train.stepz": 3}}, "unknown key train.stepz"),
        (
            {
                "overrides": {"objective.weights.consistency": 0},
                "space": {"objective.eta": {"uniform": [0.1, 0.9]}},
            },
            "no point of it makes a valid config",
        ),
        (
            {"space": {"objective.eta": {"uniform": [0.1, 0.9], "when": {"objective.rank_loss": "listnet"}}}},
            "not in the",
        ),
    ],
)
def test_wrong_specs_are_refused_in_one_line(change: dict, message: str) -> None:
    with pytest.raises(InputError) as caught:
        spec(**change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_test_split_is_searched_where_it_is_named() -> None:
    assert spec(metric="STSBenchmark.test", allow_test=True).metric == ("STSBenchmark.test",)


def test_words_change_the_specification_and_the_config(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("recipe: quickstart\nspace: {optim.learning_rate: {log: [1.0e-5, 1.0e-3]}}\nbudget: {trials: 3}\n")
    changed = load_spec(file, ["budget.trials=7", "train.steps=9", "sampler.name=random"])
    assert changed.budget.trials == 7
    assert changed.overrides == {"train.steps": 9}
    assert changed.sampler.name == "random"
    with pytest.raises(InputError, match=r"did you mean"):
        load_spec(file, ["budgt.trials=7"])


def test_unreadable_specs_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("recipe: [")
    with pytest.raises(InputError, match=r"a\.yaml: not valid YAML"):
        load_spec(file)
    with pytest.raises(InputError, match="did you mean dalr_core"):
        load_spec("dalr_cor")


def test_a_written_specification_reads_the_same() -> None:
    written = spec(
        space={
            "objective.rank_loss": {"choice": ["listmle", "listnet"]},
            "objective.temperature_rank": {"log": [0.01, 0.1], "when": {"objective.rank_loss": "listnet"}},
            "data.pair_every": {"int": [1, 4]},
            "objective.threshold": {"choice": [None, 0.9]},
        },
        overrides={"train.steps": 9, "train.eval_every": 3, "model.dropout": None},
        constraints={"seconds": {"max": 100}},
    )
    again = parse_spec(written.dump())
    assert again == written
    assert again.study_key() == written.study_key()


def test_a_folder_of_another_sweep_is_refused_and_a_larger_budget_is_not(tmp_path: Path) -> None:
    save_spec(spec(), tmp_path)
    save_spec(spec(budget={"trials": 60}), tmp_path)
    with pytest.raises(InputError, match="another sweep; they differ in sampler"):
        save_spec(spec(sampler={"name": "random"}), tmp_path)


def test_a_sweep_stays_in_its_database(tmp_path: Path) -> None:
    save_spec(spec(storage="postgresql://me@db/sweeps"), tmp_path)
    with pytest.raises(InputError, match="lie in another database"):
        save_spec(spec(), tmp_path)


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ("postgresql://me:hunter2@db/sweeps", "set PGPASSWORD or write ~/.pgpass"),
        ("postgresql+psycopg://me@db/sweeps?password=hunter2", "set PGPASSWORD"),
        ("mysql+pymysql://me:hunter2@db/sweeps", "read_default_file"),
        ("hunter2", "expected a database URL"),
    ],
)
def test_a_password_is_not_written_down(storage: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says) as caught:
        save_spec(spec(storage=storage), tmp_path)
    assert "hunter2" not in str(caught.value)
    assert not any(tmp_path.iterdir())
    with pytest.raises(InputError, match=says):
        load_spec("dalr_core", [f"storage={storage}"])


def test_every_version_of_the_code_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("0.1.0+ga", "0.1.0+ga", "0.1.0+gb"):
        monkeypatch.setattr("dalr.sweeps.search.spec_file.code_version", lambda version=version: version)
        save_spec(spec(), tmp_path)
    assert code_versions(tmp_path) == ["0.1.0+ga", "0.1.0+gb"]
    assert "2 versions of the code (0.1.0+ga, 0.1.0+gb)" in mixed_versions(tmp_path)[0]
    assert f"# study_key: {spec().study_key()}" in (tmp_path / "sweep.yaml").read_text()
    assert saved_spec(tmp_path) == spec()


def test_relative_paths_are_those_of_the_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = spec(space={"data.text": {"choice": ["a.txt", "b.txt"]}}, try_first=[{"data.text": "b.txt"}])
    assert chosen.space["data.text"].choice == (str(tmp_path / "a.txt"), str(tmp_path / "b.txt"))
    assert chosen.try_first == ({"data.text": str(tmp_path / "b.txt")},)


def test_the_cost_is_told_beforehand() -> None:
    asha = spec(
        scheduler={"name": "asha", "grace_steps": 30}, overrides={"train.steps": 150, "train.eval_every": 30},
        budget={"trials": 24},
    )  # fmt: skip
    # Of 24 trials, 8 pass step 30 and 2.7 pass step 90.
    assert asha.scheduler.expected_steps(150) == pytest.approx(30 + 60 / 3 + 60 / 9)
    assert plan_line(asha, 150) == (
        "24 trials of 150 steps, stopped early at steps 30, 90, about 1360 of 3600 steps in all"
    )
    assert plan_line(spec(), 9) == "6 trials of 9 steps, 54 in all"
    assert plan_line(spec(budget={"hours": 2}), None) == "trials until the budget's time is used up"


class Low:
    """A trial that always draws the first value."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return low

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return low

    def suggest_categorical(self, name: str, choices: tuple) -> object:
        return choices[0]


def dimensions(**forms: dict) -> dict[str, Dimension]:
    return {name: Dimension.model_validate(form) for name, form in forms.items()}


def test_conditional_paths_exist_only_under_their_condition() -> None:
    space = dimensions(b={"int": [1, 2], "when": {"a": ["x", "y"]}}, a={"choice": ["x", "z"]})
    assert draw(space, Low()) == {"a": "x", "b": 1}
    assert grid(space) == [{"a": "x", "b": 1}, {"a": "x", "b": 2}, {"a": "z"}]


def test_one_at_a_time_changes_one_path_of_the_first_point() -> None:
    space = dimensions(a={"choice": [1.0, 0.0]}, b={"int": [1, 3]})
    assert one_at_a_time(space) == [{"a": 1.0, "b": 1}, {"a": 0.0, "b": 1}, {"a": 1.0, "b": 2}, {"a": 1.0, "b": 3}]


def test_values_at_the_ends_of_their_ranges_are_reported() -> None:
    space = dimensions(a={"log": [1e-5, 1e-1]}, b={"uniform": [0, 1]}, c={"int": [1, 4]}, d={"choice": [1, 2]})
    assert at_edge(space, {"a": 1e-3, "b": 0.5, "c": 2, "d": 1}) == []
    warned = at_edge(space, {"a": 1.1e-5, "b": 0.999, "c": 4, "d": 2})
    assert [line.split(" ")[0] for line in warned] == ["a", "b", "c"]
    assert "low end" in warned[0]


def test_an_end_that_no_value_lies_beyond_is_no_edge() -> None:
    space = dimensions(**{"data.pair_every": {"int": [1, 4]}, "objective.softening": {"uniform": [0.2, 1.0]}})
    assert at_edge(space, {"data.pair_every": 1, "objective.softening": 1.0}, allowed) == []
    warned = at_edge(space, {"data.pair_every": 4, "objective.softening": 0.2}, allowed)
    assert [line.split(" ")[0] for line in warned] == ["data.pair_every", "objective.softening"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("space: {optim.learning_rate: {min: 1e-5, max: 1e-3}}", "write uniform: [min, max], or log: [min, max]"),
        ("space: {optim.learning_rate: {loguniform: [1e-5, 1e-3]}}", "write log: [low, high]"),
        ("space: {optim.learning_rate: {values: [1e-5, 1e-3]}}", "write choice: [a, b]"),
        ("budget: {trials: 2}\nspace: {optim.lr: {log: [1e-5, 1e-3]}}", "did you mean optim.learning_rate?"),
        ("parameters: {}", "did you mean space?"),
        ("n_trials: 3", "did you mean budget.trials?"),
        ("budget: {trails: 3}", "did you mean budget.trials?"),
        ("budget: {trials: true}", "budget.trials: true is not allowed"),
        ("train.steps: 3", "under overrides"),
    ],
)
def test_the_names_of_other_libraries_lead_to_ours(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(f"recipe: quickstart\n{text}\n")
    with pytest.raises(InputError) as caught:
        load_spec(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_in_a_spec_are_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text("""
recipe: quickstart
space:
  optim.learning_rate: {choice: [1e-4, "2e-4", 1]}
  train.seed: {choice: [008, 010]}
  objective.softening: {choice: [0, 0.5], when: {optim.learning_rate: [1]}}
try_first: [{optim.learning_rate: 1.0, train.seed: 8, objective.softening: 0}]
budget: {trials: 3}
scheduler: {name: none}
""")
    space = load_spec(path).space
    assert space["optim.learning_rate"].choice == (1e-4, 2e-4, 1.0)
    assert space["train.seed"].choice == (8, 10)
    assert space["objective.softening"].choice == (0.0, 0.5)
    assert {type(value) for value in space["optim.learning_rate"].choice} == {float}
    path.write_text(path.read_text().replace('"2e-4"', "1e-4"))
    with pytest.raises(InputError, match="each once"):
        load_spec(path)


def test_relative_paths_in_a_spec_lie_under_its_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rooted = spec(overrides={"data.root": "corpora", "data.text": "mine.txt"})
    assert rooted.overrides["data.text"] == str(tmp_path / "corpora/mine.txt")
    assert spec(overrides={"data": {"text": "mine.txt"}}).overrides["data"]["text"] == str(tmp_path / "mine.txt")
    (tmp_path / "base.yaml").write_text("recipe: quickstart\ndata: {root: theirs}\n")
    based = spec(recipe=["base.yaml"], overrides={"data.text": "mine.txt"})
    assert based.overrides["data.text"] == str(tmp_path / "theirs/mine.txt")


def test_what_no_trial_reads_is_named() -> None:
    searched = {"objective.threshold": {"uniform": [0, 1]}, "optim.learning_rate": {"log": [1e-5, 1e-3]}}
    with pytest.raises(InputError, match=r"objective\.threshold has no effect"):
        report_unread_in_spec(spec(recipe="simcse", overrides={"train.steps": 3}, space=searched), strict=True)
    report_unread_in_spec(spec(recipe=["simcse", "mcse"], overrides={"train.steps": 3}, space=searched), strict=True)
    # A term that some points switch on is read there.
    some = {"objective.weights.rank": {"choice": [0.0, 1.0]}, "objective.rank_loss": {"choice": ["listmle", "listnet"]}}
    report_unread_in_spec(spec(space=some), strict=True)


@pytest.mark.parametrize("name", bundled_specs())
def test_all_that_a_bundled_spec_says_is_read(name: str) -> None:
    report_unread_in_spec(load_spec(name), strict=True)


def test_every_setting_says_what_it_is() -> None:
    """Errors, help and reference read the fields' descriptions."""
    parts: list[type[BaseModel]] = [SweepSpec]
    for part in parts:
        for name, field in part.model_fields.items():
            assert part is Dimension or field.description, f"{part.__name__}.{name}"
            parts += [
                kind
                for kind in (field.annotation, *get_args(field.annotation))
                if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in parts
            ]
    assert len(parts) >= 10
