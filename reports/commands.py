"""`dalr report`: tables, figures and one page from result files."""

from pathlib import Path
from typing import Annotated

import typer

Dirs = Annotated[
    list[Path],
    typer.Argument(
        metavar="DIR…", help="Folders of runs, sweeps or results; or single result files.", show_default=False
    ),
]
Out = Annotated[Path, typer.Option("--out", help="The report's folder.", show_default=False)]


def report(
    dirs: Dirs,
    out: Out,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="KEY=LABEL", help="Call a row LABEL; KEY is its fingerprint, model or name."),
    ] = None,
    average: Annotated[
        str, typer.Option("--average", help="unrounded, or mean-of-rounded as the field's scripts do.")
    ] = "unrounded",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Makes tables (Markdown, LaTeX, CSV, HTML, Parquet) of all results under DIR….

    Example: dalr report runs/ results/ --out report
    """
    from reports.build import Options, build, write

    options = Options.checked(names=name or [], average=average)
    made = build(dirs, options, quiet=quiet)
    write(made, out)
    if not quiet:
        typer.echo(made.summary(out))
