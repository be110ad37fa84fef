"""A report as a fragment of HTML for notebooks: no script, nothing loaded, its styles for itself alone."""

from dalr.reports.build import Report
from dalr.reports.figures.export import svg_of
from dalr.reports.tables.writers.html import environment, table_html


def notebook_html(report: Report) -> str:
    """The answers, then each table with its notes, then the figures as pictures."""
    html = {table.name: table_html(table) for table in report.tables}
    pictures = {figure.name: svg_of(figure) for figure in report.figures}
    return environment().get_template("notebook.html").render(report=report, html=html, pictures=pictures)
