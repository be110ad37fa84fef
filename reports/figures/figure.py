"""A figure before it is drawn anywhere: what a page and a paper are given."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A chart as a Vega-Lite specification `spec` that holds its own data; `name` is its files', `caption` says
    what it shows."""

    name: str
    title: str
    caption: str
    spec: dict[str, Any]
