"""From folders to a report: load, name, tabulate, compare, and work out the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dalr.errors import InputError
from dalr.reports.answer import Answer, best_of_blocks, of_sweep
from dalr.reports.examples import Examples
from dalr.reports.figures.collect import FigureSelection, figures
from dalr.reports.figures.export import FORMATS
from dalr.reports.figures.figure import Figure
from dalr.reports.load.discover import Problem
from dalr.reports.load.frame import Loaded, load
from dalr.reports.load.names import without_paths
from dalr.reports.load.slug import slug
from dalr.reports.load.sweeps import Sweep, read_sweep, trials
from dalr.reports.significance import ExampleTest, RowTests, marked, note
from dalr.reports.tables.ablation import ablation
from dalr.reports.tables.aggregation import order_notes
from dalr.reports.tables.budgets import Budget, budgets, unequal
from dalr.reports.tables.finals import Finals, finals
from dalr.reports.tables.labels import labels, omitted_defaults
from dalr.reports.tables.leaderboard import equal_budget, leaderboard
from dalr.reports.tables.own import own_table
from dalr.reports.tables.scores import AGGREGATIONS, AVERAGE, Aggregation, Averaging, Table, task_table


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a report's reader may choose: names of rows, the row that others are tested against, the rows
    that others are ablations of (none: the baseline), how averages are made, how tasks with subsets are
    scored, whether there are figures, and as which files."""

    names: dict[str, str] = field(default_factory=dict)
    baseline: str | None = None
    ablate: Sequence[str] = ()
    average: Averaging = "unrounded"
    aggregation: Aggregation = "all"
    with_figures: bool = True
    formats: Sequence[str] = FORMATS

    @staticmethod
    def checked(
        *,
        names: Sequence[str],
        baseline: str | None,
        ablate: Sequence[str],
        average: str,
        aggregation: str,
        with_figures: bool,
        formats: str,
    ) -> "Options":
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
        if average not in ("unrounded", "mean-of-rounded"):
            raise InputError(f"--average {average}: expected unrounded or mean-of-rounded")
        kind: Averaging = "unrounded" if average == "unrounded" else "mean-of-rounded"
        scored = next((one for one in AGGREGATIONS if one == aggregation), None)
        if scored is None:
            raise InputError(f"--sts-aggregation {aggregation}: expected one of {', '.join(AGGREGATIONS)}")
        files = [part.strip() for part in formats.split(",")]
        if not set(files) <= set(FORMATS):
            raise InputError(f"--formats {formats}: expected some of {','.join(FORMATS)}")
        return Options(
            names=parsed,
            baseline=baseline,
            ablate=list(dict.fromkeys(ablate)),
            average=kind,
            aggregation=scored,
            with_figures=with_figures,
            formats=[one for one in FORMATS if one in files],
        )

    @property
    def references(self) -> list[str]:
        """The rows that an ablation table is made for."""
        return list(self.ablate) or ([self.baseline] if self.baseline else [])

    def dump(self) -> dict[str, Any]:
        """Plain values, from which `Options(**values)` makes the same options."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that a report says, worked out but not yet written."""

    options: Options
    loaded: Loaded
    labels: dict[str, str]
    sweeps: tuple[Sweep, ...]
    tables: tuple[Table, ...]
    answers: tuple[Answer, ...]
    figures: tuple[Figure, ...]
    problems: tuple[Problem, ...]


def build(places: Sequence[Path], options: Options, *, quiet: bool = True) -> Report:
    """The report over everything under `places`.

    Raises:
        InputError: nothing to report on, or an option that fits nothing.
    """
    return report_of(load(places, quiet=quiet), options)


def report_of(loaded: Loaded, options: Options) -> Report:
    """The report over what was loaded.

    Raises:
        InputError: no scores, or an option that fits nothing.
    """
    named = labels(loaded.sources.values(), options.names)
    sweeps, damaged = _sweeps(loaded)
    examples = Examples(loaded, options.aggregation)
    sts = {each: task_table("sts", loaded, named, averaging=options.average, aggregation=each) for each in AGGREGATIONS}
    score_tables = [sts[options.aggregation], task_table("transfer", loaded, named, averaging=options.average)]
    said = tuple(omitted_defaults(loaded.sources.values()))
    trained = budgets(loaded.sources.values())
    score_tables = [
        replace(table, key=(*_unequal(table, trained), *table.key, *said)) for table in score_tables if table.measured
    ]
    own = own_table(loaded, named)
    scored = [*score_tables, *([replace(own, key=said)] if own else [])]
    tables, answers = _compared(scored, options, loaded, trained, examples.p_value, sts)
    comparison = equal_budget(sweeps)
    tables += [comparison] if comparison else []
    for sweep in sweeps:
        board, final = leaderboard(sweep, trials(sweep)), _finals(sweep, damaged)
        tables += [board, *([final.table] if final else [])]
        answers += of_sweep(sweep, board, final)
    if not tables:
        raise InputError(_nothing(loaded, damaged))
    wanted = FigureSelection(best_first=_best_first(score_tables), always=_always(options))
    drawn = figures(loaded, named, sweeps, wanted, examples, damaged) if options.with_figures else []
    return Report(
        options=options,
        loaded=loaded,
        labels=named,
        sweeps=tuple(sweeps),
        tables=tuple(tables),
        answers=tuple(answers),
        figures=tuple(drawn),
        problems=tuple(_portable(one) for one in (*loaded.problems, *damaged, *examples.problems)),
    )


def _unequal(table: Table, trained: Mapping[str, Budget]) -> list[str]:
    rows = {row.label: trained[row.identity] for row in table.measured if row.identity in trained}
    warning = unequal(rows)
    return [warning] if warning else []


def _always(options: Options) -> list[str]:
    """Rows that a figure shows however they rank."""
    return list(dict.fromkeys([*([options.baseline] if options.baseline else []), *options.references]))


def _finals(sweep: Sweep, damaged: list[Problem]) -> Finals | None:
    try:
        return finals(sweep)
    except InputError as error:
        damaged.append(Problem(path=sweep.name, message=str(error)))
        return None


def _portable(problem: Problem) -> Problem:
    return Problem(path=problem.path, message=without_paths(problem.message))


def _apart(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Sweeps whose names would make one file name get a number behind it."""
    taken: dict[str, int] = {}
    named = []
    for sweep in sweeps:
        count = taken[slug(sweep.name)] = taken.get(slug(sweep.name), 0) + 1
        named.append(sweep if count == 1 else replace(sweep, name=f"{sweep.name} ({count})"))
    return named


def _sweeps(loaded: Loaded) -> tuple[list[Sweep], list[Problem]]:
    read, damaged = [], []
    for folder in loaded.sweeps:
        name = loaded.names.of(folder)
        try:
            read.append(read_sweep(folder, name))
        except InputError as error:
            damaged.append(Problem(path=name, message=str(error)))
    return _apart(read), damaged


def _compared(
    tables: Sequence[Table],
    options: Options,
    loaded: Loaded,
    trained: Mapping[str, Budget],
    examples: ExampleTest,
    sts: Mapping[Aggregation, Table],
) -> tuple[list[Table], list[Answer]]:
    """The tables with marks against the baseline where they have that row, each followed by its ablations; and
    the answers at the top. The baseline's comparisons come first, so that no other family contradicts them.
    `sts` is the STS table under each aggregation."""
    known = list(dict.fromkeys(row.label for table in tables for row in table.measured))
    for option, label in [("--baseline", options.baseline), *(("--ablate", label) for label in options.ablate)]:
        if label is not None and label not in known:
            raise InputError(f"{option} {label}: no measured row has that name (rows: {', '.join(known)})")
    made: list[Table] = []
    answers: list[Answer] = []
    for table in tables:
        tests = RowTests(examples)
        measured = [row.label for row in table.measured]
        place = len(made)
        made.append(_with_marks(table, options.baseline, tests) if options.baseline else table)
        for label in options.references:
            differences = ablation(table, label, loaded.sources.values(), tests) if label in measured else None
            if differences and len(options.references) > 1:
                differences = replace(differences, name=f"{differences.name}-{slug(label)}")
            made += [differences] if differences else []
        answers += best_of_blocks(table, tests, trained)
        if table.name == "sts":
            otherwise = order_notes(sts, options.aggregation, tests.pairs)
            made[place] = replace(made[place], key=(*made[place].key, *otherwise))
    return made, answers


def _with_marks(table: Table, baseline: str, tests: RowTests) -> Table:
    """The table with its baseline's block marked; with a word on it where the baseline has no scores here."""
    for index, block in enumerate(table.blocks):
        base = next((row for row in block.rows if row.label == baseline), None)
        if base is None or block.kind != "measured":
            continue
        comparisons = tests.compare([row for row in block.rows if row is not base], base, list(table.columns))
        with_marks = replace(block, rows=marked(block.rows, comparisons))
        blocks = (*table.blocks[:index], with_marks, *table.blocks[index + 1 :])
        return replace(table, blocks=blocks, key=(note(baseline, comparisons), *table.key))
    return replace(table, key=(f"{baseline} has no scores here; no marks.", *table.key))


def _best_first(tables: Sequence[Table]) -> list[str]:
    rows = [row for table in tables for row in table.measured]
    rows.sort(key=lambda row: row.cells[AVERAGE].value or float("-inf"), reverse=True)
    return list(dict.fromkeys(row.label for row in rows))


def _nothing(loaded: Loaded, damaged: Sequence[Problem]) -> str:
    problems = [*loaded.problems, *damaged]
    first = f": {problems[0].path}: {problems[0].message}" if problems else ""
    found = f"{len(loaded.runs)} runs without results, {len(problems)} unusable files"
    hint = "; first: dalr evaluate RUN/model --data DIR --out RUN/results/test.json" if loaded.runs else ""
    return f"report: no scores to report; found {found}{first}{hint}"
