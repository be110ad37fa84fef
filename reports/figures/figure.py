"""A figure before it is drawn anywhere: what a page and a paper are given."""

from dataclasses import dataclass
from typing import Any

from reports.figures import draw


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart as a Vega-Lite specification that holds its own data."""

    name: str
    title: str
    caption: str
    spec: dict[str, Any]


def figure(name: str, title: str, caption: str, chart: draw.Spec) -> Figure:
    """A figure; `name` is its file's, `caption` says what it shows."""
    return Figure(name=name, title=title, caption=caption, spec=chart)
