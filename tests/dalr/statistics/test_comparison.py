"""Families, their correction, and the words for what the tests found."""

import pytest

from dalr.statistics.comparison import FAMILIES, Comparison, corrected, p_text
from dalr.statistics.significance import over_seeds


def comparison(ours: list[float], theirs: list[float], *, name: str = "a", **changes: object) -> Comparison:
    tested = over_seeds(dict(enumerate(ours)), dict(enumerate(theirs)))
    values = {"ours": name, "theirs": "b", "score": "sts_avg", "family": "average", "over_seeds": tested, **changes}
    return Comparison(**values)  # type: ignore[arg-type]


CLEAR = ([75.0, 75.4, 75.1], [70.0, 70.3, 70.2])
LUCKY = ([75.0, 70.1, 72.0], [70.0, 74.3, 71.2])


def test_each_family_is_corrected_by_itself() -> None:
    average = comparison(*CLEAR, example_p=0.01)
    others = [comparison(*CLEAR, score=f"{i}", family="tasks", example_p=0.02) for i in range(4)]
    one, *rest = corrected([average, *others])
    assert (one.seed_holm, one.example_holm) == (average.seed_p, 0.01), "four more columns do not blur it"
    assert [each.seed_holm for each in rest] == pytest.approx([4 * (average.seed_p or 0)] * 4)
    assert {each.example_holm for each in rest} == {0.08}
    assert {one.family, *(each.family for each in rest)} <= set(FAMILIES)


def test_what_cannot_be_tested_does_not_count() -> None:
    found = corrected([comparison(*CLEAR), comparison([75.0], [70.0], name="c")])
    assert found[0].seed_holm == found[0].seed_p
    assert found[1].seed_holm is None


def test_the_words_say_n_p_and_level() -> None:
    (clear,) = corrected([comparison(*CLEAR)])
    assert clear.relation == "better than"
    assert clear.amount == "+5.00 points (95 % interval +4.75 to +5.25)"
    assert clear.finding == f"holds at the 5 % level (n = 3 seeds, {p_text(clear.seed_holm or 1)})"
    assert clear.sentence("STS Avg.").startswith(
        "a is better than b on STS Avg.: +5.00 points (95 % interval +4.75 to +5.25). This holds"
    )
    (lucky,) = corrected([comparison(*LUCKY, example_p=0.0001)])
    assert lucky.relation == "not distinguishable from"
    assert lucky.finding.startswith("does not hold at the 5 % level (n = 3 seeds, p = 0.")
    assert lucky.finding.endswith(f"about {lucky.seeds_needed} seeds would tell)")
    assert lucky.sentence().endswith("; over test examples it holds (p < 0.001).")
    (single,) = corrected([comparison([75.0], [70.0])])
    assert single.sentence() == "a against b on sts_avg: +5.00 points. This cannot be tested over seeds (n = 1 seed)."
    (equal,) = corrected([comparison([75.0, 76.0], [70.0, 71.0])])
    assert equal.finding == "cannot be tested over seeds (n = 2 seeds with equal differences)"


def test_p_values_are_printed_alike_everywhere() -> None:
    assert [p_text(p) for p in (0.00413, 0.0384, 0.5751, 1.0, 0.0009)] == [
        "p = 0.0041", "p = 0.038", "p = 0.58", "p = 1", "p < 0.001",
    ]  # fmt: skip


def test_seen_from_the_other_side() -> None:
    (clear,) = corrected([comparison(*CLEAR, example_p=0.01)])
    turned = clear.reversed
    assert (turned.ours, turned.theirs, turned.difference) == ("b", "a", -clear.difference)
    assert (turned.seed_holm, turned.example_holm) == (clear.seed_holm, clear.example_holm)
    assert turned.relation == "worse than"
    assert turned.amount == "-5.00 points (95 % interval -5.25 to -4.75)"
    assert turned.reversed == clear


def test_the_number_of_seeds_that_would_tell_minds_the_correction() -> None:
    """Three seeds cannot be what would tell where three seeds have not told."""
    unsure = ([75.0, 75.9, 74.9], [74.0, 74.1, 74.2])
    (alone,) = corrected([comparison(*unsure)])
    among = corrected([comparison(*unsure, name=f"{i}") for i in range(11)])[0]
    assert alone.seeds_needed is not None
    assert among.seeds_needed is not None
    assert among.seeds_needed > max(alone.seeds_needed, 3)
