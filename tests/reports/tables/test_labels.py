"""What rows are called, and how a person may name them."""

import json
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from dalr.errors import InputError
from dalr.reports.load.frame import load
from dalr.reports.load.names import one_line
from dalr.reports.tables.labels import labels, omitted_defaults
from dalr.reports.tables.naming import LONGEST, rows_called
from tests.reports import make


def test_labels_name_the_settings_in_which_a_recipe_s_rows_differ(tmp_path: Path) -> None:
    for index, (every, rate) in enumerate([(1, 3e-4), (2, 3e-4), (2, 5e-5)]):
        make.run(
            tmp_path / str(index),
            results={"a.json": make.result(base=70 + index)},
            data__pair_every=every,
            optim__learning_rate=rate,
        )
    make.run(tmp_path / "other", recipe="simcse", results={"a.json": make.result()}, objective__cross_modal=0.0)
    sources = load([tmp_path]).sources.values()
    named = labels(sources)
    assert omitted_defaults(sources) == [
        "dalr: pair_every=2, learning_rate=0.0003, where a row's name says nothing else."
    ]
    assert sorted(named.values()) == [
        "dalr",
        "dalr, learning_rate=5e-05",
        "dalr, pair_every=1",
        "simcse",
    ]


def test_the_setting_with_the_most_seeds_is_the_one_that_others_differ_from(tmp_path: Path) -> None:
    rows = [(1, {}), (2, {})] + [(1, {"data__pair_every": 2, "objective__cross_modal": x}) for x in (0.0, 0.1, 0.2)]
    for index, (seed, settings) in enumerate(rows):
        make.run(tmp_path / str(index), seed=seed, results={"a.json": make.result(base=70 + index)}, **settings)
    named = set(labels(load([tmp_path]).sources.values()).values())
    assert named == {"dalr", *(f"dalr, pair_every=2{x}" for x in ("", ", cross_modal=0", ", cross_modal=0.2"))}


def test_labels_go_by_the_recipe_where_a_run_says_how_it_differs(tmp_path: Path) -> None:
    for index, rate in enumerate([3e-4, 5e-5, 5e-5]):
        notes = {"overrides": {"optim.learning_rate": rate} if rate != 3e-4 else {}}
        results = {"a.json": make.result(base=70 + index)}
        # Most rows have another rate than the recipe's own; it is theirs that is said.
        made = {"optim__learning_rate": rate, "objective__cross_modal": index / 10}
        make.run(tmp_path / str(index), results=results, notes=notes, **made)
    named = set(labels(load([tmp_path]).sources.values()).values())
    assert named == {"dalr", "dalr, cross_modal=0.1, learning_rate=5e-05", "dalr, cross_modal=0.2, learning_rate=5e-05"}


def test_an_untrained_run_is_called_so_and_stands_against_every_seed(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    untrained = {"train__steps": 1, "optim__warmup_steps": 1}
    made = make.run(tmp_path / "runs" / "u", recipe="simcse", results={"sts.json": make.result(base=60)}, **untrained)
    sources = load([tmp_path / "runs"]).sources
    assert sorted(set(labels(sources.values()).values())) == ["dalr", "simcse", "untrained"]
    assert next(one.seed for one in sources.values() if one.run and one.run.folder == made) is None


def test_trials_and_runs_of_many_settings_are_called_after_their_folders(tmp_path: Path) -> None:
    names = ["trial-0007-seed-1", "final-dalr-base-seed-1001", "by-hand-seed3", "usual", "usual-too"]
    for index, name in enumerate(names):
        make.run(
            tmp_path / name,
            results={"a.json": make.result()},
            data__pair_every=min(index, 3),
            optim__learning_rate=min(index, 3),
            objective__cross_modal=min(index, 3),
            objective__intra_modal=min(index, 3),
            model__layers=min(index, 3),
            train__batch_size=index,
        )
    assert set(labels(load([tmp_path]).sources.values()).values()) == {
        "dalr, trial-0007",
        "dalr, the sweep's base",
        "dalr, by-hand",
        "dalr, batch_size=3",
        "dalr, batch_size=4",
    }


def test_labels_can_be_given_by_fingerprint_model_or_name(tmp_path: Path) -> None:
    make.two_models(tmp_path / "runs")
    make.result(model="minilm").write(tmp_path / "runs" / "m.json")
    sources = load([tmp_path]).sources.values()
    fingerprint = next(one.setting for one in sources if one.run and one.run.recipe == "simcse")
    named = labels(sources, {fingerprint[:8]: "SimCSE", "dalr": "Ours", "minilm": "MiniLM"})
    assert sorted(named.values()) == ["MiniLM", "Ours", "SimCSE"]
    with pytest.raises(InputError, match=r"names nobody=X: no row is called 'nobody' \(rows: dalr, minilm, simcse\)"):
        labels(sources, {"nobody": "X"})
    with pytest.raises(InputError, match="two rows would be called 'simcse'"):
        labels(sources, {"dalr": "simcse"})


def test_models_of_one_folder_name_are_called_by_more_of_their_paths(tmp_path: Path) -> None:
    places = ["/home/me/x/best", "/home/you/y/best", "/srv/y/other", "/a/b/model", "/c/b/model"]
    for index, place in enumerate(places):
        make.result(model=place).write(tmp_path / f"{index}.json")
    assert set(labels(load([tmp_path]).sources.values()).values()) == {
        "x/best",
        "y/best",
        "other",
        "a/b/model",
        "c/b/model",
    }


def test_models_of_one_name_that_only_their_weights_tell_apart_get_digits(tmp_path: Path) -> None:
    for index, digits in enumerate(["aaaaaaaaaaaa", "bbbbbbbbbbbb"]):
        make.result(model="best", model_fingerprint=digits).write(tmp_path / f"{index}.json")
    assert set(labels(load([tmp_path]).sources.values()).values()) == {"best (aaaaaaaa)", "best (bbbbbbbb)"}


def test_runs_of_many_settings_and_one_folder_name_are_called_by_more_of_their_paths(tmp_path: Path) -> None:
    for index, name in enumerate(["one/mine-seed-1", "two/mine-seed-1", "usual", "usual-2", "usual-3"]):
        value = min(index, 2)
        changes = {"data__pair_every": value, "optim__learning_rate": value, "objective__cross_modal": value}
        changes |= {"objective__intra_modal": value, "model__layers": value, "train__seed": index}
        seed = changes.pop("train__seed")
        make.run(tmp_path / name, seed=seed, results={"a.json": make.result(seed=seed)}, **changes)
    named = set(labels(load([tmp_path]).sources.values()).values())
    assert named == {"dalr", "dalr, mine (one/mine)", "dalr, mine (two/mine)"}


def test_one_run_under_two_protocols_is_named_once(tmp_path: Path) -> None:
    results = {f"{protocol}.json": make.result(protocol=protocol) for protocol in ("test", "fast")}
    make.run(tmp_path / "runs" / "dalr-1", results=results)
    sources = load([tmp_path / "runs"]).sources.values()
    for key in ("dalr", "runs/dalr-1", "dalr-1"):
        assert sorted(labels(sources, {key: "DALR"}).values()) == ["DALR (fast)", "DALR (test)"]
    assert sorted(labels(sources, {"dalr (fast)": "Fast"}).values()) == ["Fast", "dalr (test)"]


def test_rows_are_found_by_what_a_person_types(tmp_path: Path) -> None:
    for index, (every, folder) in enumerate([(1, "a"), (2, "b")]):
        results = {"a.json": make.result(seed=index)}
        make.run(tmp_path / "runs" / folder, seed=index, results=results, data__pair_every=every)
    make.result(model="/srv/x/best").write(tmp_path / "runs" / "best.json")
    sources = load([tmp_path / "runs"]).sources.values()
    named = labels(sources)
    assert sorted(named.values()) == ["best", "dalr, pair_every=1", "dalr, pair_every=2"]
    second = next(source for source in sources if source.run_name == "runs/b")
    for word in ("dalr, pair_every=2", "DALR,pair_every=2", "runs/b", "b", second.setting[:6], second.row):
        assert rows_called(word, named, sources) == [second.row], word
    assert [named[row] for row in rows_called("/srv/x/best", named, sources)] == ["best"]
    assert rows_called("dalr", named, sources) == []


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(st.lists(st.text(), min_size=1, max_size=6, unique=True))
def test_every_model_gets_a_label_of_its_own_on_one_line(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    for index, name in enumerate(names):
        values = make.result().model_dump() | {"model": name}
        (folder / f"{index}.json").write_text(json.dumps(values))
    loaded = load([folder])
    assert loaded.problems == ()
    named = labels(loaded.sources.values())
    assert len(named) == len(set(named.values())) == len(loaded.sources)
    assert all(label == one_line(label) and 0 < len(label) <= LONGEST + 40 for label in named.values())
