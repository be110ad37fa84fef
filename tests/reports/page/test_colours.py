"""Colours: words can be read on their grounds, and lines be told apart by eyes without one kind of cone."""

import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest

from dalr.reports.figures.draw import COLOURS, DASHES

CSS = resources.files("dalr.reports").joinpath("templates", "page.css").read_text(encoding="utf-8")
# Viénot, Brettel and Mollon 1999: linear RGB as dichromats see it.
DICHROMATS = {
    "protanope": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deuteranope": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


def _linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _luminance(colour: str) -> float:
    return float(_linear(colour) @ (0.2126, 0.7152, 0.0722))


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _themes() -> dict[str, dict[str, str]]:
    dark = CSS[CSS.index(":root[data-theme=dark]") :]
    return {
        name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text[: text.index("}")]))
        for name, text in (("light", CSS), ("dark", dark))
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "panel", "yes-panel", "no-panel", "mark"])
@pytest.mark.parametrize("ink", ["ink", "dim", "link", "yes", "no"])
def test_words_can_be_read_on_every_ground(theme: str, ground: str, ink: str) -> None:
    colours = _themes()[theme]
    assert _contrast(colours[ink], colours[ground]) >= 4.5  # WCAG AA


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_stand_out_from_the_paper(theme: str) -> None:
    assert all(_contrast(colour, _themes()[theme]["paper"]) >= 2.0 for colour in COLOURS)


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    scaled = np.clip(to_xyz @ linear, 0, None) / (0.9505, 1.0, 1.089)
    root = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("eyes", sorted(DICHROMATS))
def test_lines_are_told_apart_without_one_kind_of_cone(eyes: str) -> None:
    seen = [_lab(np.array(DICHROMATS[eyes]) @ _linear(colour)) for colour in COLOURS]
    for one, other in combinations(range(len(COLOURS)), 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 8, (COLOURS[one], COLOURS[other])


def test_every_colour_has_a_dash_of_its_own() -> None:
    assert len({tuple(dash) for dash in DASHES}) == len(DASHES) >= len(COLOURS)
