"""Figures as files for papers: SVG, PDF and PNG, on white, in print sizes."""

from pathlib import Path
from typing import Any

from dalr.files import written_aside
from reports.figures.collect import Figure

PNG_SCALE = 2.0
PRINT: dict[str, Any] = {
    "background": "white",
    "font": "sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 13, "titleFontWeight": "normal", "gridColor": "#e4e4e4"},
    "legend": {"labelFontSize": 12, "titleFontSize": 12},
    "header": {"labelFontSize": 12},
    "view": {"stroke": "#bbbbbb"},
}


def export(figure: Figure, folder: Path) -> None:
    """Writes `folder`/NAME.svg, .pdf and .png, each aside and renamed."""
    import vl_convert

    spec = {**figure.spec, "config": {**figure.spec.get("config", {}), **PRINT}}
    svg = vl_convert.vegalite_to_svg(spec)
    files = {
        "svg": svg.encode(),
        "pdf": vl_convert.svg_to_pdf(svg),
        "png": vl_convert.svg_to_png(svg, scale=PNG_SCALE),
    }
    for ending, content in files.items():
        with written_aside(folder / f"{figure.name}.{ending}") as aside:
            aside.write_bytes(content)
