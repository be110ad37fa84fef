"""The commands `dalr data fetch` and `dalr data check`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dalr.datasets.check import FileReport


def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="senteval, wiki1m, flickr30k, coco.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The data folder, a recipe's `data.root`. Default: DALR_DATA, else ~/.cache/dalr, where recipes look.",
        ),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Address of a folder with the same files, instead of the Hugging Face Hub.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> int:
    """Download and verify public data.

    `senteval` and `wiki1m` are downloaded, resumed where a download was cut, checked and put where the
    recipes look for them. For `flickr30k` and `coco`, which need an agreement, it says how to get them
    and where to put them, and exits with 2 until they are there. Without --mirror the Hub is asked as
    HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE say.

    Example: dalr data fetch senteval wiki1m --out data
    """
    from dalr.datasets import fetch as fetching

    out = out or default_folder()
    chosen = fetching.checked_names(names)
    missing = False
    for name in chosen:
        if name in fetching.FETCHERS:
            done = fetching.FETCHERS[name](out, mirror=mirror, quiet=quiet)
        elif lacking := fetching.missing_files(name, out):
            missing = True
            print(fetching.instructions(name, out), file=sys.stderr)
            print(f"dalr: {name} is incomplete in {out}: there is no {', no '.join(lacking)}", file=sys.stderr)
            continue
        else:
            done = f"{name}: {out / name} is there already"
        if not quiet:
            print(done)
    return 2 if missing else 0


def default_folder() -> Path:
    """Where data is put unless --out says otherwise: the folder in which recipes look."""
    from dalr.config.schema import default_root

    return default_root()


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A SentEval folder, or a folder of fetched data.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what is wrong.")] = False,
) -> int:
    """Check a data folder: files, row counts, checksums, encodings, language, scores.

    Names what is wrong with each file, and exits with 2 if anything is.

    Example: dalr data check data/senteval
    """
    from dalr.datasets.check import check_folder

    reports = check_folder(folder)
    faults = [report for report in reports if report.problem]
    if as_json:
        print(json.dumps([asdict(report) for report in reports], indent=2))
    else:
        _print_table(faults if quiet else reports)
        if not quiet:
            print(f"{len(reports)} files, {len(faults)} with problems")
    if faults:
        first = f"{folder / faults[0].path}: {faults[0].problem}"
        print(f"dalr: {len(faults)} of {len(reports)} files are not sound; the first: {first}", file=sys.stderr)
    return 2 if faults else 0


def _print_table(reports: list["FileReport"]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not reports:
        return
    table = Table("file", "lines", "state", box=None)
    table.columns[1].justify = "right"
    for report in reports:
        rows = "" if report.rows is None else f"{report.rows:,}"
        table.add_row(report.path, rows, report.problem or "ok", style="red" if report.problem else None)
    terminal = sys.stdout.isatty()
    Console(width=None if terminal else 240).print(table)  # in a file or a pipe, a line a file
