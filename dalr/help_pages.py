"""The help page of a command, as its docstring and its options' texts say it."""

import copy
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command whose help page fills the paragraphs of its docstring to the terminal's width, and shows brackets: rich
    would take `[n, D]` for a style and leave it out."""

    def format_help(self, context: Any, formatter: Any) -> None:
        """Prints the page."""
        from rich.markup import escape

        page = copy.copy(self)
        page.help = escape(filled(self.help or ""))
        page.params = [copy.copy(parameter) for parameter in self.params]
        for parameter in page.params:
            parameter.help = escape(parameter.help or "")  # type: ignore[attr-defined]
        TyperCommand.format_help(page, context, formatter)


def filled(text: str) -> str:
    """Paragraphs as a line each; indented ones as they are."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in paragraphs)
