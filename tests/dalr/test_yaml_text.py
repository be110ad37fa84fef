"""What a person writes in YAML is what is used, or an error in one line."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalr.errors import InputError
from dalr.yaml_text import dump_yaml, parse_yaml, read_yaml

TEXT = st.text(st.characters(codec="utf-8"))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal in type too, down to the sign of zero."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other and (one != 0 or math.copysign(1, one) == math.copysign(1, other)))


@given(PLAIN)
@settings(max_examples=300, deadline=None)
def test_what_is_dumped_is_read_again(values: Any) -> None:
    assert same(parse_yaml(dump_yaml(values), "x"), values)


@given(st.integers(), st.integers(0, 5))
@settings(deadline=None)
def test_integers_mean_their_digits(number: int, zeros: int) -> None:
    sign, digits = ("-" if number < 0 else ""), str(abs(number))
    assert same(parse_yaml(f"{sign}{'0' * zeros}{digits}", "x"), number)


@given(st.from_regex(r"\A[-+]?[0-9]{0,4}\.?[0-9]{1,4}[eE][-+]?[0-9]{1,2}\Z"))
@settings(deadline=None)
def test_an_exponent_makes_a_number_with_or_without_a_point(text: str) -> None:
    assert same(parse_yaml(text, "x"), float(text))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_value_or_one_line_of_error(text: str) -> None:
    message = ""
    try:
        parse_yaml(text, "mine.yaml")
    except InputError as error:
        message = str(error)
    assert not message or message.startswith("mine.yaml: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("[1e-4, 2E5, .5, 5.]", [1e-4, 2e5, 0.5, 5.0]),
        ("008", 8),
        ("010", 10),
        ("0o17", 15),
        ("0x1f", 31),
        ("no", "no"),
        ("[yes, on, off, y, n]", ["yes", "on", "off", "y", "n"]),
        ("[true, False, NULL, ~]", [True, False, None, None]),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"),
        ("{no: 1, on: 2}", {"no": 1, "on": 2}),
        ("{<<: {a: 1, b: 1}, b: 2}", {"a": 1, "b": 2}),
        ("a: &x {k: 1}\nb: *x", {"a": {"k": 1}, "b": {"k": 1}}),
        ("!!str 1", "1"),
        ("", None),
    ],
)
def test_the_core_schema(text: str, value: Any) -> None:
    assert same(parse_yaml(text, "x"), value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", ["line 3", "the key 'a' stands twice, first in line 1"]),
        ("{a: {b: 1, 'b': 2}}", ["the key 'b' stands twice"]),
        ("1: a", ["the key 1 is read as int", "quotes"]),
        ("true: a", ["the key true", "quotes"]),
        ("? [a, b]\n: 1", ["a key must be text"]),
        ("&a [*a]", ["an alias refers to what it is a part of"]),
        ("!!python/object/apply:os.getcwd []", ["could not determine a constructor"]),
        ("!!timestamp 2026-01-02", ["could not determine a constructor"]),
        ("!!int x", ["'x' is no value of int"]),
        ("a\n---\nb", ["another document"]),
        ("[", ["line 2"]),
        ("[" * 30000, ["nesting"]),
        ("9" * 5000, ["more digits"]),
        ("a: \x00", ["not allowed"]),
    ],
)
def test_what_is_refused_says_why_in_one_line(text: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "mine.yaml")
    message = str(caught.value)
    assert message.startswith("mine.yaml: not valid YAML: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: .*gone\.yaml"):
        read_yaml(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml, line 1: not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "empty.yaml").touch()
    assert read_yaml(tmp_path / "empty.yaml") is None


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, "[{" * 50_000, "a: [\n" * 5_000, "- " * 100_000])
def test_nesting_without_end_is_refused_at_once(text: str) -> None:
    """The parser takes quadratic time for open brackets: half a minute for a hundred thousand."""
    began = time.process_time()
    with pytest.raises(InputError, match=r"not valid YAML: .*(nested|nesting)"):
        parse_yaml(text, "config")
    assert time.process_time() - began < 5


def test_brackets_that_are_closed_do_not_count() -> None:
    text = "- [a, [b, {c: d}]]\n" * 3_000
    assert len(parse_yaml(text, "config")) == 3_000
