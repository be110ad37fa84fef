"""`dalr report`: tables, figures and one page from result files. `dalr publish`: a model for the Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dalr.reports.api import Report

Dirs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="DIR",
        help="Folders of runs, sweeps or results, or result files; with --check, where they are now.",
    ),
]


def report(
    dirs: Dirs = None,
    out: Annotated[Path, typer.Option("--out", help="The report's folder.")] = Path("report"),
    check: Annotated[
        bool, typer.Option("--check", help="Make the report in --out again from its sources; exit 1 if it differs.")
    ] = False,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Tables and page only.")] = False,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="ROW", help="Test the other rows against this one. ROW: see --name."),
    ] = None,
    ablate: Annotated[
        list[str] | None,
        typer.Option(
            "--ablate",
            metavar="ROW",
            help="Show what the others change in this one, and what that brings; without, in the baseline.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="KEY=LABEL",
            help="Call a row LABEL; KEY is its name in the report, its model, its run's folder or its fingerprint.",
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="ROW", help="Show these rows alone.")] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="Show these tasks alone: sts, transfer, own, or names with commas.")
    ] = None,
    hide_published: Annotated[bool, typer.Option("--hide-published", help="Leave published rows out.")] = False,
    average: Annotated[
        str, typer.Option("--average", help="unrounded, or mean-of-rounded as the field's scripts do.")
    ] = "unrounded",
    sts_aggregation: Annotated[
        str,
        typer.Option(
            "--sts-aggregation",
            help="STS12 to STS16: all pairs of a task, the mean over its subsets, or wmean, weighted by their pairs.",
        ),
    ] = "all",
    contrasts: Annotated[
        Path | None,
        typer.Option(
            "--contrasts",
            metavar="FILE",
            help="YAML with the contrasts to test between a sweep's arms; without, those of its specification.",
        ),
    ] = None,
    formats: Annotated[str, typer.Option("--formats", help="As which files figures are written.")] = "svg,pdf,png",
    watch: Annotated[
        int | None,
        typer.Option(
            "--watch",
            metavar="SECONDS",
            min=5,
            help="Make the report again so often, until interrupted; the page reloads itself.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Make tables, figures and one page of all runs, sweeps and results under the folders DIR.

    A row is called by its recipe and the settings in which that recipe's rows differ; the seeds of
    one setting are one row, mean ± deviation.

    Example: dalr report runs/ sweeps/ --out report --baseline simcse
    """
    from dalr.errors import InputError

    if check:
        return _check(out, dirs or [], quiet)
    if not dirs:
        raise InputError("report: no folder given; for example: dalr report runs/ --out report")
    from dalr.reports.api import check_out
    from dalr.reports.api import report as report_on

    check_out(out, dirs)

    def make() -> "tuple[Report, Path]":
        made = report_on(
            dirs,
            names=names_of(name or []),
            baseline=baseline,
            ablate=ablate or [],
            only=only or [],
            tasks=parts_of(tasks or ""),
            hide_published=hide_published,
            average=average,
            sts_aggregation=sts_aggregation,
            figures=not no_figures,
            formats=parts_of(formats),
            contrasts=contrasts,
            quiet=quiet,
        )
        return made, made.write(out, quiet=quiet)

    made, page = make()
    for problem in made.problems:
        typer.echo(f"not used as it is: {problem.path}: {problem.message}", err=True)
    if not quiet:
        for answer in made.answers:
            typer.echo(f"{answer.where}: {answer.headline} {answer.badge}")
        typer.echo(str(page))
    if watch is not None:
        from dalr.reports.watch import remake

        remake(make, out, seconds=watch)
    return None


def names_of(words: Sequence[str]) -> dict[str, str]:
    """`KEY=LABEL` words as a mapping.

    Raises:
        InputError: a word that is none.
    """
    from dalr.errors import InputError

    names = {}
    for text in words:
        key, separator, label = text.rpartition("=")
        if not separator or not key.strip() or not label.strip():
            raise InputError(f"--name {text}: expected KEY=LABEL, for example dalr=DALR")
        names[key] = label
    return names


def parts_of(text: str) -> list[str]:
    """The words between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _check(out: Path, dirs: list[Path], quiet: bool) -> None:
    from dalr.reports.check import check as differences

    found = differences(out, dirs, quiet=quiet)
    for line in found:
        typer.echo(line, err=True)
    if found:
        raise typer.Exit(1)
    if not quiet:
        typer.echo(f"{out}: everything agrees with its sources")


def publish(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run's folder, or the model folder in it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what a push would send.")] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name on the Hub (default: the run's).")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Check a model, write its card, and list what a push to the Hub would send.

    With --dry-run nothing is written. Sending itself is the Hub's own command, which has your
    credentials; it is printed last.

    Example: dalr publish runs/dalr --name me/dalr-bert --dry-run
    """
    from dalr.reports.hub.publish import plan, write_card

    made = plan(model, name)
    if not dry_run:
        write_card(made)
    if not quiet:
        typer.echo(made.text())
        typer.echo(
            f"hf upload {made.name} {made.folder}" + ("  (after this command without --dry-run)" if dry_run else "")
        )
