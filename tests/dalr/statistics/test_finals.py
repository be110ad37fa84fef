"""The rule by which final runs are judged, on hand-made scores."""

import pytest
from scipy import stats

from dalr.statistics.finals import Finalist, compare_finals, deciding_score


def finalist(
    candidate: int | None, values: list[float], *, recipe: str = "dalr", winner: bool = False, **more: list[float]
) -> Finalist:
    scores = {"STSBenchmark.dev": dict(enumerate(values))}
    scores |= {name.replace("__", "."): dict(enumerate(column)) for name, column in more.items()}
    label = "the base recipe" if candidate is None else f"trial {candidate}"
    return Finalist(label=label, recipe=recipe, candidate=candidate, scores=scores, winner=winner)  # type: ignore[arg-type]


def untested(*_: object) -> None:
    return None


def test_one_score_decides() -> None:
    dev = "STSBenchmark.dev"
    assert deciding_score([dev, "STS12.test", "sts_avg", "transfer_avg"], dev) == "sts_avg"
    assert deciding_score([dev, "STSBenchmark.test", "transfer_avg"], dev) == "STSBenchmark.test"
    assert deciding_score([dev], dev) == dev
    assert deciding_score(["MR.dev", "sts_avg", "transfer_avg"], "MR.dev") == "transfer_avg"
    assert deciding_score(["MR.dev", "MR.test"], "MR.dev") == "MR.test"


def test_the_deciding_score_and_the_others_are_two_families() -> None:
    ours = finalist(7, [75.0, 75.4, 75.1], sts_avg=[65.0, 65.2, 65.3], STS12__test=[60.0, 61.0, 60.4])
    base = finalist(None, [74.0, 74.3, 74.2], sts_avg=[64.0, 64.1, 64.2], STS12__test=[59.0, 60.4, 59.9])
    first, *others = compare_finals([ours, base], "STSBenchmark.dev", lambda *_: 0.5)
    assert (first.score, first.family, first.example_p) == ("sts_avg", "average", 0.5)
    known = stats.ttest_rel([65.0, 65.2, 65.3], [64.0, 64.1, 64.2]).pvalue
    assert first.seed_p == first.seed_holm == pytest.approx(known)
    assert {each.score for each in others} == {"STSBenchmark.dev", "STS12.test"}
    assert {each.family for each in others} == {"tasks"}
    assert all(each.example_p is None for each in others), "examples are asked for the deciding score only"
    raw = sorted(each.seed_p or 0 for each in others)
    assert min(each.seed_holm or 0 for each in others) == pytest.approx(2 * raw[0])


def test_candidates_are_one_family() -> None:
    base = finalist(None, [74.0, 74.3, 74.2])
    found = compare_finals(
        [finalist(7, [75.0, 75.4, 75.1]), finalist(9, [74.0, 75.0, 76.0]), base], "STSBenchmark.dev", untested
    )
    assert [each.family for each in found] == ["average", "average"]
    assert found[0].seed_holm == pytest.approx(2 * (found[0].seed_p or 0))


def test_winners_of_two_recipes_are_tested_against_each_other() -> None:
    """Those that won their search, whatever trial 5 has on the fresh seeds; corrected among themselves."""
    finalists = [
        finalist(7, [75.0, 75.4, 75.1], winner=True),
        finalist(None, [74.0, 74.3, 74.2]),
        finalist(3, [71.0, 71.4, 71.0], recipe="simcse", winner=True),
        finalist(5, [75.9, 76.2, 75.8], recipe="simcse"),
        finalist(None, [70.0, 70.5, 70.2], recipe="simcse"),
    ]
    found = compare_finals(finalists, "STSBenchmark.dev", untested)
    assert [each.family for each in found] == ["average"] * 3 + ["recipes"]
    between = found[-1]
    assert (between.ours, between.theirs) == ("trial 7", "trial 3")
    known = stats.ttest_rel([75.0, 75.4, 75.1], [71.0, 71.4, 71.0]).pvalue
    assert between.seed_p == between.seed_holm == pytest.approx(known)


def test_seeds_that_only_one_of_them_has_do_not_count() -> None:
    ours, base = finalist(7, [75.0, 75.4, 75.1, 99.0]), finalist(None, [74.0, 74.3, 74.2])
    (found,) = compare_finals([ours, base], "STSBenchmark.dev", untested)
    assert (found.seeds, found.difference) == (3, pytest.approx(1.0))
    assert compare_finals([ours], "STSBenchmark.dev", untested) == [], "no base recipe, no comparison"
