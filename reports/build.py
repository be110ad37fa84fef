"""From folders to a report: load, name, tabulate, compare, and work out the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dalr.errors import InputError, argument
from dalr.reports.answer import Answer, against_baseline, best_of_blocks, of_sweep
from dalr.reports.arms import ArmComparison, arm_comparisons
from dalr.reports.examples import Examples
from dalr.reports.figures.figure import Figure
from dalr.reports.load.discover import Problem
from dalr.reports.load.frame import Loaded, load
from dalr.reports.load.names import counted, without_paths
from dalr.reports.load.slug import slug
from dalr.reports.load.sweeps import Sweep, read_sweep, trials
from dalr.reports.options import Options, apply
from dalr.reports.reproduction import reproductions
from dalr.reports.significance import ExampleTest, RowTests, marked, note
from dalr.reports.tables.ablation import ablation
from dalr.reports.tables.aggregation import order_notes
from dalr.reports.tables.budgets import Budget, budgets, unequal
from dalr.reports.tables.finals import Finals, finals
from dalr.reports.tables.grid import Table
from dalr.reports.tables.labels import omitted_defaults
from dalr.reports.tables.leaderboard import equal_budget, leaderboard
from dalr.reports.tables.mteb import with_reranking
from dalr.reports.tables.naming import listed
from dalr.reports.tables.retrieval import retrieval_table
from dalr.reports.tables.scores import AGGREGATIONS, OF_MTEB, TITLES, Aggregation, average_of, task_table


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
    options, loaded, named = apply(options, loaded)
    sweeps, damaged = _sweeps(loaded)
    examples = Examples(loaded, options.aggregation)
    sts = {each: _score_table("sts", loaded, named, options, each) for each in AGGREGATIONS}
    others = [_score_table(group, loaded, named, options) for group in TITLES if group != "sts"]
    said = tuple(omitted_defaults(loaded.sources.values()))
    trained = budgets(loaded.sources.values())
    score_tables = [
        replace(table, key=(*_unequal(table, trained), *table.key, *said))
        for table in (sts[options.aggregation], *others)
        if table.measured
    ]
    arms = arm_comparisons(sweeps, options.contrasts)
    tables, answers = _compared(score_tables, options, loaded, trained, examples.p_value, sts, arms)
    for comparison in arms:
        tables += comparison.tables(sts, options, list(loaded.sources.values()))
        answers = [*comparison.answers(), *answers]
    retrieval = retrieval_table(loaded, named, with_published=not options.hide_published)
    tables += [retrieval] if retrieval else []
    at_equal_budget = equal_budget([sweep for sweep in sweeps if not sweep.arms])  # arms are no searches
    tables += [at_equal_budget] if at_equal_budget else []
    for sweep in sweeps:
        board, final = leaderboard(sweep, trials(sweep)), _finals(sweep, damaged)
        tables += [board, *([final.table] if final else [])]
        answers += [] if sweep.arms else of_sweep(sweep, board, final)
    if not tables:
        raise InputError(_nothing(loaded, damaged))
    drawn: list[Figure] = []
    if options.with_figures:
        from dalr.reports.figures.collect import FigureSelection, figures  # an installation may lack what they need

        wanted = FigureSelection(best_first=_best_first(score_tables), always=_always(options))
        drawn = list(figures(loaded, named, sweeps, wanted, examples, damaged))
    return Report(
        options=options,
        loaded=loaded,
        labels=named,
        sweeps=tuple(sweeps),
        tables=tuple(tables),
        answers=tuple(answers),
        figures=tuple(drawn),
        problems=tuple(_portable(problem) for problem in (*loaded.problems, *damaged, *examples.problems)),
    )


def _score_table(
    group: str, loaded: Loaded, named: Mapping[str, str], options: Options, aggregation: Aggregation = "all"
) -> Table:
    table = task_table(
        group,
        loaded,
        named,
        averaging=options.average,
        aggregation=aggregation,
        chosen=options.tasks,
        with_published=not options.hide_published,
    )
    return with_reranking(table, with_published=not options.hide_published) if group == OF_MTEB else table


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
    arms: Sequence[ArmComparison],
) -> tuple[list[Table], list[Answer]]:
    """The tables with marks against the baseline where they have that row, each followed by its ablations; and
    the answers at the top. Planned contrasts of arms come first, then the baseline's comparisons, so that no other
    family contradicts them.
    `sts` is the STS table under each aggregation."""
    known = list(dict.fromkeys(row.label for table in tables for row in table.measured))
    for option, label in [("baseline", options.baseline), *(("ablate", label) for label in options.ablate)]:
        if label is not None and label not in known:
            raise InputError(f"{argument(option)} {label}: no measured row has that name ({listed(known)})")
    made: list[Table] = []
    answers: list[Answer] = []
    for table in tables:
        tests = RowTests(examples)
        for each in arms:
            each.add(table, tests, loaded.sources.values())
        measured = [row.label for row in table.measured]
        place = len(made)
        made.append(_with_marks(table, options.baseline, tests) if options.baseline else table)
        for label in options.references:
            differences = ablation(table, label, loaded.sources.values(), tests) if label in measured else None
            if differences and len(options.references) > 1:
                differences = replace(differences, name=f"{differences.name}-{slug(label)}")
            made += [differences] if differences else []
        answers += against_baseline(table, options.baseline, tests) if options.baseline else []
        answers += best_of_blocks(table, tests, trained)
        as_published = table.name != "sts" or options.aggregation == "all"
        if as_published and not options.hide_published:
            answers += reproductions(table, loaded.sources.values())
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
    rows.sort(key=lambda row: (average_of(row) is None, -(average_of(row) or 0.0)))
    return list(dict.fromkeys(row.label for row in rows))


def _nothing(loaded: Loaded, damaged: Sequence[Problem]) -> str:
    problems = [*loaded.problems, *damaged]
    first = f": {problems[0].path}: {problems[0].message}" if problems else ""
    there = f"{counted(len(loaded.runs), 'run')} without results, {counted(len(problems), 'unusable file')}"
    hint = "; first: dalr evaluate RUN/model --data DIR --out RUN/results/test.json" if loaded.runs else ""
    return f"report: no scores to report; found {there}{first}{hint}"
