"""What a sweep's final runs show: its best points and the base recipe, on seeds that the search never saw."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from dalr.reports.load.names import counted, without_paths
from dalr.reports.load.parquet import read_parquet
from dalr.reports.load.slug import slug
from dalr.reports.load.sweeps import Sweep, best_points
from dalr.reports.significance import marked, note
from dalr.reports.tables.grid import Block, Cell, Row, Table, summary
from dalr.reports.tables.scores import SHORT
from dalr.statistics.comparison import Comparison
from dalr.statistics.finals import Finalist, compare_finals, minimised_scores

FILE = "finals.parquet"
REQUIRED = ("candidate", "seed", "state")
AVERAGES = {"sts_avg": "STS Avg.", "transfer_avg": "Transfer Avg."}
BASE = "the base recipe"


@dataclass(frozen=True, kw_only=True)
class Finals:
    """The table of a sweep's final runs; the comparison in the score that decides of each recipe's winner
    with its base recipe, by recipe (none where the recipe itself was not run)."""

    table: Table
    winners: Mapping[str, Comparison]

    def heading(self, comparison: Comparison) -> str:
        """The name of a comparison's score in the table."""
        return self.table.columns[comparison.score]


def finals(sweep: Sweep) -> Finals | None:
    """The final runs of a sweep; None where it has made none.

    Raises:
        InputError: finals.parquet is damaged or lacks a column.
    """
    path = sweep.folder / FILE
    if not path.is_file():
        return None
    frame = read_parquet(path, REQUIRED)
    if "recipe" not in frame.columns:
        frame = frame.with_columns(pl.lit("").alias("recipe"))
    done = frame.filter(pl.col("state") == "complete")
    columns = _columns(sweep, done)
    if done.is_empty() or not columns:
        return None
    recipes = done["recipe"].unique(maintain_order=True).to_list()
    rows: dict[str, list[Row]] = {}
    finalists: list[Finalist] = []
    for recipe in recipes:
        mine = done.filter(pl.col("recipe") == recipe)
        rows[recipe] = _rows(sweep, mine, columns, recipe if len(recipes) > 1 else "")
        finalists += _finalists(sweep, mine, rows[recipe], recipe)
    minimised = minimised_scores(sweep.metrics, sweep.directions)
    comparisons = compare_finals(finalists, sweep.metrics[0], _StoredExamples(done), minimised)
    table = Table(
        name=f"finals-{slug(sweep.name)}",
        title=f"Sweep {sweep.name}: final runs on fresh seeds",
        columns=columns,
        blocks=tuple(
            Block(title=recipe, kind="measured", rows=marked(rows[recipe], _of_rows(comparisons, rows[recipe])))
            for recipe in recipes
        ),
        key=(
            *(each.sentence(columns[each.score]) for each in comparisons if each.family != "tasks"),
            *_mark_notes(comparisons, rows.values()),
        ),
        notes=(
            f"{sweep.metrics[0]} is the metric searched on, here on seeds that the search never saw.",
            *_failures(frame),
        ),
        row_heading="Point",
    )
    winners = {each.label: each.recipe for each in finalists if each.winner}
    return Finals(
        table=table,
        winners={winners[each.ours]: each for each in comparisons if each.family == "average" and each.ours in winners},
    )


def _of_rows(comparisons: Sequence[Comparison], rows: Sequence[Row]) -> list[Comparison]:
    """Those of these rows with their base recipe."""
    labels = {row.label for row in rows}
    return [each for each in comparisons if each.ours in labels and each.family != "recipes"]


def _mark_notes(comparisons: Sequence[Comparison], blocks: Iterable[Sequence[Row]]) -> list[str]:
    notes = []
    for rows in blocks:
        of_rows = _of_rows(comparisons, rows)
        notes += [note(of_rows[0].theirs, of_rows)] if of_rows else []
    return notes


def _finalists(sweep: Sweep, done: pl.DataFrame, rows: Sequence[Row], recipe: str) -> list[Finalist]:
    """One recipe's rows, in the same order, for the tests."""
    candidates = _candidates(done)
    winner = _winner(sweep, done, recipe)
    return [
        Finalist(
            label=row.label,
            recipe=recipe,
            candidate=candidate,
            scores={name: cell.by_seed for name, cell in row.cells.items() if cell.by_seed},
            winner=candidate is not None and candidate == winner,
        )
        for candidate, row in zip(candidates, rows, strict=True)
    ]


def _candidates(done: pl.DataFrame) -> list[int | None]:
    """The trials with final runs, the base recipe (None) last."""
    return done["candidate"].unique().sort(nulls_last=True).to_list()


def _winner(sweep: Sweep, done: pl.DataFrame, recipe: str) -> int | None:
    """The candidate with which the search ended, as the sweep has noted it; where it has not, the best of the
    recipe's trials that has final runs."""
    if "winner" in done.columns:
        return next(iter(done.filter(pl.col("winner"))["candidate"]), None)
    candidates = best_points(sweep).filter(pl.col("trial").is_in(_known(done)))
    candidates = candidates.filter(pl.col("recipe") == recipe) if recipe else candidates
    return next(iter(candidates["trial"]), None)


def _known(done: pl.DataFrame) -> list[int]:
    return done["candidate"].drop_nulls().unique().to_list()


class _StoredExamples:
    """The test over test examples that the sweep has made of each candidate against its base recipe."""

    def __init__(self, done: pl.DataFrame) -> None:
        columns = {"recipe", "candidate", "decides", "example_p"}
        kept = done.select(sorted(columns)).unique().to_dicts() if columns <= set(done.columns) else []
        self._p_values = {(row["recipe"], row["candidate"], row["decides"]): row["example_p"] for row in kept}

    def __call__(self, ours: Finalist, theirs: Finalist, score: str) -> float | None:
        against_base = theirs.candidate is None and ours.recipe == theirs.recipe
        return self._p_values.get((ours.recipe, ours.candidate, score)) if against_base else None


def _columns(sweep: Sweep, done: pl.DataFrame) -> dict[str, str]:
    """The metric, the tests and their averages, as far as they are there, with their headings."""
    headings = {sweep.metrics[0]: sweep.metrics[0]}
    headings |= {
        name: SHORT.get(name.removesuffix(".test"), name.removesuffix(".test"))
        for name in done.columns
        if name.endswith(".test")
    }
    headings |= AVERAGES
    return {name: text for name, text in headings.items() if name in done.columns and done[name].count()}


def _rows(sweep: Sweep, done: pl.DataFrame, columns: dict[str, str], recipe: str) -> list[Row]:
    rows = []
    for candidate in _candidates(done):
        mine = done.filter(pl.col("candidate").eq_missing(candidate))
        what = BASE if candidate is None else f"trial {candidate}"
        cells = {name: _cell(mine, name, f"{sweep.place}/{FILE}") for name in columns}
        seeds = tuple(mine["seed"].sort())
        label = f"{recipe}, {what}" if recipe else what
        rows.append(Row(label=label, identity=f"{sweep.name}#final#{label}", cells=cells, seeds=seeds))
    return rows


def _cell(runs: pl.DataFrame, column: str, source: str) -> Cell:
    pairs = runs.select("seed", column).filter(pl.col(column).is_finite()).iter_rows()
    return summary({seed: (value, source) for seed, value in pairs})


def _failures(frame: pl.DataFrame) -> Sequence[str]:
    failed = frame.filter(pl.col("state") != "complete")
    if failed.is_empty():
        return []
    reasons = failed["reason"].drop_nulls().unique().sort().to_list() if "reason" in failed.columns else []
    return [
        f"{counted(failed.height, 'final run')} failed: {without_paths('; '.join(reasons)) or 'no reason was kept'}"
    ]
