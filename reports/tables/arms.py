"""The table of a sweep that compares arms: each arm's averages, and its differences to the first arm."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dalr.reports.load.frame import Source
from dalr.reports.load.published import published
from dalr.reports.load.slug import slug
from dalr.reports.load.sweeps import Sweep, points_of_arms, seeds_of, trial_of
from dalr.reports.significance import RowTests
from dalr.reports.tables.grid import Block, Cell, Row, Table, fewer_seeds, summary, with_places
from dalr.reports.tables.published import PUBLISHED, published_row, source_mark, source_notes
from dalr.reports.tables.scores import AVERAGE
from dalr.statistics.intervals import ConfidenceInterval
from dalr.statistics.significance import Scores, SeedTest, over_seeds

DIFFERENCE = {"difference": "difference", "interval": "95 % interval", "n": "n", "p": "p"}


@dataclass(frozen=True, kw_only=True)
class ArmRows:
    """What was scored of a sweep's arms in one table: `points` maps the values searched beside the arm (in words,
    empty where there are none) to the row of each arm; all rows are of one block of the table."""

    sweep: Sweep
    table: Table
    points: Mapping[str, Mapping[str, Row]]

    @property
    def columns(self) -> dict[str, str]:
        """The average, where some arm has it, else every score; with headings that name the table."""
        rows = [row for arms in self.points.values() for row in arms.values()]
        if any(row.cells.get(AVERAGE, Cell()).value is not None for row in rows):
            return {AVERAGE: HEADINGS.get(self.table.name, "Avg.")}
        return {key: heading for key, heading in self.table.columns.items() if key != AVERAGE}


HEADINGS = {"sts": "STS Avg.", "transfer": "Transfer Avg."}


def arm_rows(sweep: Sweep, table: Table, sources: Iterable[Source]) -> ArmRows | None:
    """The rows of a score table that are a sweep's arms, from the first block that has some; None without any. They
    hold the sweep's own seeds: what was planned does not change where other runs of the same settings are reported."""
    trials = points_of_arms(sweep)
    trial_of_row: dict[str, int] = {}
    seed_of: dict[str, int | None] = {}
    for source in sources:
        seed_of[source.name] = source.seed
        found = trial_of(source.run.folder) if source.run else None
        if found and found[0] == sweep.folder and found[1] in trials:
            trial_of_row.setdefault(source.row, found[1])
    for block in table.blocks:
        there = {trial_of_row[row.identity]: row for row in block.rows if row.identity in trial_of_row}
        own = {trial: _of_seeds(row, seeds_of(sweep, trial), seed_of) for trial, row in there.items()}
        rows = {trial: row for trial, row in own.items() if any(cell.count for cell in row.cells.values())}
        if rows and block.kind == "measured":
            points: dict[str, dict[str, Row]] = {}
            for trial, (arm, point) in trials.items():
                if trial in rows:
                    points.setdefault(point, {})[arm] = rows[trial]
            return ArmRows(sweep=sweep, table=table, points=points)
    return None


def _of_seeds(row: Row, seeds: Collection[int | None], seed_of: Mapping[str, int | None]) -> Row:
    """The row of these seeds alone."""
    cells = {}
    for column, cell in row.cells.items():
        kept = {seed: value for seed, value in cell.by_seed.items() if seed in seeds}
        sources = tuple(source for source in cell.sources if seed_of[source] in seeds)
        cells[column] = replace(summary({seed: (value, "") for seed, value in kept.items()}), sources=sources)
    return replace(row, cells=cells, seeds=tuple(seed for seed in row.seeds if seed in seeds))


def arms_table(parts: Sequence[tuple[ArmRows, RowTests | None]], *, with_published: bool = True) -> Table:
    """The arms of one sweep in several score tables, a block for each point beside the arm; each with its tests, None
    where differences are tested as planned contrasts instead. The paper's ablation stands below arms of its names."""
    sweep = parts[0][0].sweep
    scores = {f"{part.table.name}.{key}": heading for part, _ in parts for key, heading in part.columns.items()}
    tested = any(tests for _, tests in parts)
    words = {key: word for key, word in DIFFERENCE.items() if tested or key != "p"}
    columns = {
        key: heading
        for score, text in scores.items()
        for key, heading in {score: text, **{f"{score}.{key}": word for key, word in words.items()}}.items()
    }
    blocks = []
    for point in dict.fromkeys(point for part, _ in parts for point in part.points):
        rows = list(_rows(sweep, point, parts))
        blocks.append(Block(title=point, kind="measured", rows=with_places(rows, list(scores))))
    measured = tuple(blocks)
    printed = _published(sweep, [part.table.name for part, _ in parts]) if with_published else None
    blocks += [printed] if printed else []
    return Table(
        name=f"arms-{slug(sweep.name)}",
        title=f"Sweep {sweep.name}: its arms",
        columns=columns,
        blocks=tuple(blocks),
        key=(
            f"Difference: to {sweep.arms[0]}, the first arm, in points, over the n seeds that both have; "
            + (
                "p over seeds (paired t-test), after Holm's correction over the arms of a block."
                if tested
                else "what was planned to be tested is in the table of contrasts."
            ),
        ),
        notes=(
            "The interval is that of the t-test, not corrected. ± is the sample standard deviation over seeds.",
            *(note for block in measured for note in _fewer(block, scores)),
            *(source_notes([row.identity for row in printed.rows]) if printed else []),
        ),
        row_heading="Arm",
    )


def _fewer(block: Block, scores: Mapping[str, str]) -> list[str]:
    notes = fewer_seeds(block.rows, scores)
    return [f"{block.title}, {note}" for note in notes] if block.title else notes


def _published(sweep: Sweep, tables: Sequence[str]) -> Block | None:
    """The published rows of the paper's ablation, where the sweep has arms of all its names."""
    rows = [row for table in tables for row in published().of(table) if row.arm]
    if not rows or not {row.arm for row in rows} <= set(sweep.arms):
        return None
    made = []
    for arm in (arm for arm in sweep.arms if any(row.arm == arm for row in rows)):
        mine = [row for row in rows if row.arm == arm]
        printed = [published_row(row, columns={AVERAGE: f"{row.table}.{AVERAGE}"}) for row in mine]
        cells = {column: cell for row in printed for column, cell in row.cells.items()}
        made.append(Row(label=arm, identity=mine[0].source, cells=cells, note=source_mark(mine[0].source)))
    title = f"{PUBLISHED}: DALR's ablation, {rows[0].backbone}, {rows[0].data}"
    return Block(title=title, kind="published", rows=tuple(made))


def _rows(sweep: Sweep, point: str, parts: Sequence[tuple[ArmRows, RowTests | None]]) -> Iterator[Row]:
    """The arms of one point, in the order of the specification."""
    cells: dict[str, dict[str, Cell]] = {arm: {} for arm in sweep.arms}
    seeds: dict[str, set[int | None]] = {arm: set() for arm in sweep.arms}
    for part, tests in parts:
        arms = part.points.get(point, {})
        differences = _differences(sweep, part, arms, tests)
        for arm, row in arms.items():
            seeds[arm] |= set(row.seeds)
            for column in part.columns:
                score = f"{part.table.name}.{column}"
                cells[arm][score] = replace(row.cells.get(column, Cell()), place=None, marks="")
                difference = differences.get((row.label, column), {})
                cells[arm] |= {f"{score}.{key}": cell for key, cell in difference.items()}
    for arm in sweep.arms:
        if cells[arm]:
            known = tuple(sorted(seeds[arm], key=lambda seed: (seed is None, seed)))
            yield Row(label=arm, identity=f"{sweep.name}#{arm}#{point}", cells=cells[arm], seeds=known)


def _differences(
    sweep: Sweep, part: ArmRows, arms: Mapping[str, Row], tests: RowTests | None
) -> dict[tuple[str, str], dict[str, Cell]]:
    """By row and column, the cells that tell the difference to the first arm."""
    reference = arms.get(sweep.arms[0])
    if reference is None:
        return {}
    others = [row for row in arms.values() if row is not reference]
    if tests:
        compared = tests.compare(others, reference, list(part.columns))
        return {(each.ours, each.score): _difference(each.over_seeds, each.seed_holm) for each in compared}
    pairs = [(row, column) for row in others for column in part.columns]
    scores = {(row.label, column): (_by_seed(row, column), _by_seed(reference, column)) for row, column in pairs}
    return {key: _difference(over_seeds(*both)) for key, both in scores.items() if all(both)}


def _by_seed(row: Row, column: str) -> Scores:
    return row.cells.get(column, Cell()).by_seed


def _difference(test: SeedTest, p_value: float | None = None) -> dict[str, Cell]:
    return {
        "difference": Cell(value=test.difference, printed=f"{test.difference:+z.2f}"),
        "interval": Cell(printed=interval_text(test.interval)),
        "n": Cell(value=test.seeds, printed=str(test.seeds)),
        "p": p_cell(p_value),
    }


def interval_text(interval: ConfidenceInterval | None) -> str:
    """`+0.80 to +1.42`; a dash where there is none."""
    return f"{interval.low:+z.2f} to {interval.high:+z.2f}" if interval else "–"


def p_cell(p_value: float | None) -> Cell:
    """A p-value in two significant digits; a dash where nothing was tested."""
    if p_value is None:
        return Cell()
    return Cell(value=p_value, printed=f"{p_value:.2g}" if p_value >= 0.001 else "< 0.001")
