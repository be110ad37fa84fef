"""The one page: tables, figures and provenance in a single file that needs no network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup

from dalr.reports.answer import Answer
from dalr.reports.figures.figure import Figure
from dalr.reports.load.discover import Problem
from dalr.reports.page.provenance import RowFacts
from dalr.reports.tables.grid import Table
from dalr.reports.tables.writers.html import environment, table_html

LIBRARY_TAG = '<script id="drawing-library">'


@dataclass(frozen=True, kw_only=True)
class PageData:
    """All that the page shows, worked out."""

    title: str
    about: str
    answers: Sequence[Answer]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    provenance: Sequence[RowFacts]
    problems: Sequence[Problem]
    remarks: Sequence[str]
    formats: Sequence[str]


def page(data: PageData, *, with_library: bool = True) -> str:
    """The page as HTML: styles, scripts, drawing library and data inside, nothing loaded from anywhere.
    `with_library=False` leaves the drawing library's script empty: `without_library` of the page."""
    values: Mapping[str, Any] = {
        **vars(data),
        "html": {table.name: table_html(table) for table in data.tables},
        "style": _inline("page.css"),
        "script": _inline("page.js"),
        "specifications": _json({figure.name: figure.spec for figure in data.figures}),
        "vega": _drawing_library() if data.figures and with_library else "",
    }
    return environment().get_template("page.html").render(values)


def without_library(text: str) -> str:
    """A page's text without the drawing library, which is no part of what the page says and changes with
    the version of vl-convert."""
    before, tag, rest = text.partition(LIBRARY_TAG)
    return before + tag + rest[rest.index("</script>") :] if tag else text


def _inline(name: str) -> Markup:
    """A file of this package as it is: it is our own, and holds no `</script` or `</style`."""
    return Markup(resources.files("dalr.reports").joinpath("templates", name).read_text(encoding="utf-8"))


def _json(value: Any) -> Markup:
    """JSON that may stand inside a script element: whatever a name holds, no tag ends or begins there."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


@cache
def _drawing_library() -> Markup:
    """Vega-Lite with all it needs, about 0.9 MB; it interprets expressions instead of compiling them, so
    that the page can forbid code from strings."""
    import vl_convert

    code = vl_convert.javascript_bundle("window.drawChart = vegaEmbed;")
    return Markup(code.replace("</script", "<\\/script"))
