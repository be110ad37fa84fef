"""From folders to a report: load, name, tabulate; and write it all down."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dalr.errors import InputError
from dalr.files import writable_folder, write_text, written_aside
from reports.labels import labels
from reports.load import Loaded, load
from reports.tables import Averaging, Table, task_table
from reports.writers.data import cell_frame, comma_separated
from reports.writers.html import table_document
from reports.writers.latex import latex
from reports.writers.markdown import markdown


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a report's reader may choose."""

    names: dict[str, str]
    average: Averaging = "unrounded"

    @staticmethod
    def checked(*, names: Sequence[str], average: str) -> "Options":
        """Options from the command line's words.

        Raises:
            InputError: a word that means nothing.
        """
        parsed = {}
        for text in names:
            key, separator, label = text.rpartition("=")
            if not separator or not key or not label:
                raise InputError(f"--name {text}: expected KEY=LABEL, for example dalr=DALR")
            parsed[key] = label
        if average == "unrounded":
            return Options(names=parsed, average="unrounded")
        if average == "mean-of-rounded":
            return Options(names=parsed, average="mean-of-rounded")
        raise InputError(f"--average {average}: expected unrounded or mean-of-rounded")


@dataclass(frozen=True, kw_only=True)
class Report:
    """All tables of a report and what they are made from."""

    loaded: Loaded
    labels: dict[str, str]
    tables: tuple[Table, ...]

    def summary(self, out: Path) -> str:
        """A few lines for the terminal: what was read, what could not be, where the report is."""
        lines = [f"{len(self.loaded.sources)} results, {len(self.labels)} rows: {out / 'report.md'}"]
        lines += [f"not used as it is: {problem.path}: {problem.message}" for problem in self.loaded.problems]
        return "\n".join(lines)


def build(places: Sequence[Path], options: Options, *, quiet: bool = True) -> Report:
    """The report over everything under `places`.

    Raises:
        InputError: nothing to report on, or an option that fits nothing.
    """
    loaded = load(places, quiet=quiet)
    named = labels(loaded.sources.values(), options.names)
    tables = [task_table(group, loaded, named, averaging=options.average) for group in ("sts", "transfer")]
    return Report(loaded=loaded, labels=named, tables=tuple(table for table in tables if table.measured))


def write(report: Report, out: Path) -> None:
    """Writes every form of every table under `out`, each file aside and renamed."""
    folder = writable_folder(out, "report") / "tables"
    for table in report.tables:
        write_text(folder / f"{table.name}.md", markdown(table))
        write_text(folder / f"{table.name}.tex", latex(table))
        write_text(folder / f"{table.name}.csv", comma_separated(table))
        write_text(folder / f"{table.name}.html", table_document(table))
        with written_aside(folder / f"{table.name}.parquet") as aside:
            cell_frame(table).write_parquet(aside)
    with written_aside(out / "scores.parquet") as aside:
        report.loaded.scores.collect().write_parquet(aside)
    write_text(out / "report.md", "# Report\n\n" + "\n".join(markdown(table) for table in report.tables))
