"""`dalr.report`: tables and figures of runs, sweeps and results, from Python."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalr.errors import InputError, argument
from dalr.extras import explained, install, missing
from dalr.reports.answer import Answer
from dalr.reports.build import Report as Made
from dalr.reports.build import build
from dalr.reports.load.discover import Problem
from dalr.reports.options import Options
from dalr.reports.tables.writers.data import wide_frame

if TYPE_CHECKING:
    import polars as pl

Place = str | os.PathLike[str]


logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Report:
    """A report, worked out but not yet written. In a notebook it shows its answers, tables and figures."""

    places: tuple[Path, ...]
    made: Made

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What is best, by how much, and what the tests say of that."""
        return self.made.answers

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The files that could not be used as they are."""
        return self.made.problems

    @property
    def tables(self) -> "dict[str, pl.DataFrame]":
        """Each table by its name (`sts`, `transfer`, `own`, ...): a line a row, unrounded; `kind` is measured or
        published, each column of scores is followed by its `_deviation` over the seeds where there is one."""
        return {table.name: wide_frame(table) for table in self.made.tables}

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """Each figure by its name, as a Vega-Lite specification that holds its own data."""
        return {figure.name: figure.spec for figure in self.made.figures}

    def write(self, out: Place, *, quiet: bool = True) -> Path:
        """Writes tables (Markdown, LaTeX, CSV, HTML, Parquet), figures and `index.html` to the folder `out`; returns
        the page.

        Raises:
            InputError: `out` is one of the folders that were reported on, or cannot be written.
        """
        from dalr.reports.write import write

        check_out(Path(out), self.places)
        write(self.made, Path(out), quiet=quiet)
        return Path(out) / "index.html"

    def _repr_html_(self) -> str:
        from dalr.reports.notebook import notebook_html

        return notebook_html(self.made)

    def __repr__(self) -> str:
        lines = [f"{answer.where}: {answer.headline} {answer.badge}" for answer in self.answers]
        return "\n".join([*lines, f"Report: tables {', '.join(self.tables)}; {len(self.figures)} figures"])


@explained()
def report(
    places: Place | Sequence[Place],
    *,
    baseline: str | None = None,
    ablate: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    tasks: Sequence[str] = (),
    hide_published: bool = False,
    average: str = "unrounded",
    sts_aggregation: str = "all",
    contrasts: Place | None = None,
    figures: bool = True,
    formats: Sequence[str] = ("svg", "pdf", "png"),
    quiet: bool = False,
) -> Report:
    """Works out the tables and figures of all runs, sweeps and results under `places`; writes nothing.

    `places` are folders, result files, or the objects that `dalr.train` and `dalr.sweep` return. A row is called by
    its recipe and the settings in which that recipe's rows differ, or as `names` says (a key is the row's name in
    the report, its model, its run's folder or its fingerprint). The other rows are tested against `baseline`;
    `ablate` names rows in which the others change something. `only` and `tasks` (names and groups) say what is
    shown, `hide_published` leaves published rows out. `average` is unrounded or mean-of-rounded, `sts_aggregation`
    all, mean or wmean. `contrasts` is a YAML file with the contrasts to test between a
    sweep's arms. `formats` are those in which `write` draws figures.

    Raises:
        InputError: nothing to report on, or an option that fits nothing.
    """
    folders = [Path(place) for place in ([places] if isinstance(places, str | os.PathLike) else places)]
    if not folders:
        raise InputError("report: no folder given; for example: runs/")
    if figures and (lacking := missing("figures")) is not None:
        logger.warning("no figures: %s", install(lacking, "figures"))
        figures = False
    options = Options.checked(
        names=names or {},
        baseline=baseline,
        ablate=ablate,
        only=only,
        tasks=tasks,
        hide_published=hide_published,
        average=average,
        aggregation=sts_aggregation,
        with_figures=figures,
        formats=formats,
        contrasts=Path(contrasts) if contrasts is not None else None,
    )
    return Report(tuple(folders), build(folders, options, quiet=quiet))


def check_out(out: Path, places: Sequence[Path]) -> None:
    """Refuses to write a report over what it reports on."""
    if out.resolve() in [place.resolve() for place in places]:
        raise InputError(
            f"report: {argument('out')} {out} is a folder to report on; a report lies beside it or in it: {out}/report"
        )
