"""Figures as files for papers: SVG, PDF and PNG, on white, in print sizes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dalr.files import atomic_write
from dalr.reports.figures.figure import Figure

FORMATS = ("svg", "pdf", "png")
PNG_SCALE = 2.0
PRINT: dict[str, Any] = {
    "background": "white",
    "font": "sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 13, "titleFontWeight": "normal", "gridColor": "#e4e4e4"},
    "legend": {"labelFontSize": 12, "titleFontSize": 12},
    "header": {"labelFontSize": 12},
    "view": {"stroke": "#bbbbbb"},
}


def svg_of(figure: Figure) -> Markup:
    """The figure as an `<svg>` element."""
    import vl_convert

    spec = {**figure.spec, "config": {**figure.spec.get("config", {}), **PRINT}}
    return Markup(vl_convert.vegalite_to_svg(spec))


def export(figure: Figure, folder: Path, formats: Sequence[str] = FORMATS) -> None:
    """Writes the figure into `folder` in each of the `formats`, aside and renamed."""
    import vl_convert

    svg = svg_of(figure)
    makers: dict[str, Callable[[], bytes]] = {
        "svg": svg.encode,
        "pdf": lambda: vl_convert.svg_to_pdf(svg),
        "png": lambda: vl_convert.svg_to_png(svg, scale=PNG_SCALE),
    }
    for ending in formats:
        content = makers[ending]()
        with atomic_write(folder / f"{figure.name}.{ending}") as aside:
            aside.write_bytes(content)
