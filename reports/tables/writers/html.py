"""Tables as HTML, for the page and alone."""

from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from dalr.reports.tables.grid import Cell, Table


def _template(name: str) -> str | None:
    file = resources.files("dalr.reports").joinpath("templates", name)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def environment(*, escape: bool = True) -> Environment:
    """The templates of this package: values escaped for HTML, an unknown name an error."""
    return Environment(
        loader=FunctionLoader(_template),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def table_html(table: Table, links: dict[str, str] | None = None) -> Markup:
    """A `<table>`; `links` maps a source's name to where its file lies, seen from the page."""
    template = environment().get_template("table.html")
    return Markup(template.render(table=table, empty=Cell(), links=links or {}))


def table_document(table: Table) -> str:
    """A whole HTML document with nothing but the table."""
    template = environment().get_template("table_document.html")
    return template.render(table=table, body=table_html(table))
