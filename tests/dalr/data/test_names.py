"""A name means one row, or it is refused with both that it could mean."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalr.data.names import match_names
from dalr.errors import InputError

LACKS = "ids.txt lacks %d of the %d pictures"
FOLDERS, STEMS, ENDINGS = ("", "cats/", "dogs/", "val/cats/"), ("1", "2", "1.5"), ("", ".png", ".jpg")
NAMES = [folder + stem + ending for folder in FOLDERS for stem in STEMS for ending in ENDINGS]


@pytest.mark.parametrize(
    ("wanted", "available", "rows"),
    [
        (["cats/1.png", "dogs/1.png"], ["dogs/1.png", "cats/1.png"], [1, 0]),
        (["1.png", "cats/1.png"], ["cats/1.png", "1.png"], [1, 0]),
        (["cats/1", "dogs/1"], ["dogs/1.jpg", "cats/1.jpg"], [1, 0]),
        (["train/1.jpg", "train/2.jpg"], ["2.jpg", "1.jpg"], [1, 0]),
        (["1.jpg", "2.jpg"], ["val/2.jpg", "train/1.jpg"], [1, 0]),
        (["1", "1"], ["x/1.jpg"], [0, 0]),
        (["/data/images/1.jpg"], ["1"], [0]),
        (["1.JPG"], ["1.png", "1.JPG"], [1]),
        (["1.jpg"], ["masks/1.png", "pictures/1.jpg"], [1]),
    ],
)
def test_names_that_mean_one_row(wanted: list[str], available: list[str], rows: list[int]) -> None:
    assert match_names(wanted, available, lacks=LACKS).tolist() == rows


@pytest.mark.parametrize(
    ("wanted", "available", "message"),
    [
        (["1.png"], ["cats/1.png", "dogs/1.png"], "'1.png' matches both 'cats/1.png' and 'dogs/1.png'"),
        (["1"], ["1.png", "1.jpg"], "'1' matches both '1.jpg' and '1.png'"),
        (["1"], ["1.png", "cats/1.png"], "'1' matches both '1.png' and 'cats/1.png'"),
        (["x/1.jpg", "y/1.jpg"], ["1", "2"], "both 'x/1.jpg' and 'y/1.jpg' match '1'"),
        (["1.png", "cats/1.png"], ["1.png"], "both '1.png' and 'cats/1.png' match '1.png'"),
        (["a"], ["a", "b", "a"], "'a' is the name of row 0 and of row 2, which differ"),
        (["cats/1.png"], ["dogs/1.png"], "lacks 1 of the 1 pictures, the first: cats/1.png (there is dogs/1.png"),
        (["v1.5"], ["v1.7"], "lacks 1 of the 1 pictures, the first: v1.5"),
        (["1"], ["1.txt"], "lacks 1 of the 1 pictures, the first: 1"),
        ([""], ["a/"], "lacks 1 of the 1"),
    ],
)
def test_names_that_mean_two_rows_or_none(wanted: list[str], available: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        match_names(wanted, available, lacks=LACKS)


def test_rows_of_one_name_may_be_equal() -> None:
    values = [5, 7, 5]
    rows = match_names(["a"], ["a", "b", "a"], lacks=LACKS, equal=lambda row, other: values[row] == values[other])
    assert rows.tolist() == [0]


def could_mean(name: str, other: str) -> bool:
    """The oracle: equal names, but for a picture's ending and for folders that one of them leaves out."""

    def parts(path: str) -> tuple[str, ...]:
        return Path(re.sub(r"\.(png|jpg)$", "", path)).parts

    first, second = parts(name), parts(other)
    shorter = min(len(first), len(second))
    return first[-shorter:] == second[-shorter:]


@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True),
)
def test_what_is_matched_is_meant_by_nobody_else(wanted: list[str], available: list[str]) -> None:
    unclear = any(sum(could_mean(name, other) for other in available) != 1 for name in wanted)
    shared = any(sum(could_mean(name, other) for name in wanted) > 1 for other in available)
    try:
        rows = match_names(wanted, available, lacks=LACKS).tolist()
    except InputError:
        rows = None
    if rows is None:
        assert unclear or shared
        return
    assert len(set(rows)) == len(wanted)
    for name, row in zip(wanted, rows, strict=True):
        assert could_mean(name, available[row])
        assert name == available[row] or name not in available
