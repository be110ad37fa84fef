"""The planned contrasts between a sweep's arms: what was declared beforehand, tested as one family."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from dalr.errors import InputError, argument
from dalr.reports.load.runs import expect, read_yaml
from dalr.reports.load.slug import slug
from dalr.reports.load.sweeps import Sweep
from dalr.reports.significance import RowTests
from dalr.reports.tables.arms import ArmRows, interval_text, p_cell
from dalr.reports.tables.grid import Block, Cell, Row, Table
from dalr.reports.tables.scores import AVERAGE
from dalr.statistics.contrasts import MARGIN, ContrastTest, Weights, check_contrast, contrast_tests
from dalr.statistics.significance import Scores

STS_YEARS = ("STS12", "STS13", "STS14", "STS15", "STS16")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be tested between arms: contrasts by name, and the margin of equivalence in points."""

    contrasts: Mapping[str, Weights]
    margin: float = MARGIN


@dataclass(frozen=True, kw_only=True)
class Family:
    """The contrasts of one sweep at one point, on the score that decides."""

    point: str
    score: str
    tests: tuple[ContrastTest, ...]


def plan_of(values: Mapping[str, Any], where: Path) -> Plan | None:
    """The plan in the keys `contrasts` and `equivalence_margin` of a specification; None where it has none.

    Raises:
        InputError: a value of another kind; names the file.
    """
    expect(where, values, dict, "contrasts")
    contrasts = values.get("contrasts") or {}
    for name, weights in contrasts.items():
        if not isinstance(weights, dict) or not all(isinstance(one, int | float) for one in weights.values()):
            raise InputError(
                f"{where}: contrasts: {name}: expected arms and weights, for example {{ours: 1, base: -1}}"
            )
    margin = values.get("equivalence_margin", MARGIN)
    if not isinstance(margin, int | float) or not margin > 0:
        raise InputError(f"{where}: equivalence_margin: expected points above 0, not {margin!r}")
    return Plan(contrasts=contrasts, margin=float(margin)) if contrasts else None


def read_plan(path: Path) -> dict[str, Any]:
    """The two keys of a file, as an option holds them.

    Raises:
        InputError: no such file, or no contrasts in it.
    """
    plan = plan_of(read_yaml(path), path)
    if plan is None:
        raise InputError(f"{path}: it has no contrasts, for example contrasts: {{ours: {{ours: 1, base: -1}}}}")
    return {
        "contrasts": {name: dict(weights) for name, weights in plan.contrasts.items()},
        "equivalence_margin": plan.margin,
    }


def plan_for(sweep: Sweep, given: Mapping[str, Any]) -> Plan | None:
    """What is planned of a sweep: `given`, those of its contrasts whose arms it has; without, what its own
    specification declares.

    Raises:
        InputError: the specification's contrasts are none of its arms.
    """
    if given:
        plan = plan_of(given, Path(argument("contrasts")))
        mine = {name: weights for name, weights in plan.contrasts.items() if _has(sweep, weights)} if plan else {}
    else:
        plan = plan_of(sweep.spec, sweep.folder / "sweep.yaml")
        mine = dict(plan.contrasts) if plan else {}
    for name, weights in mine.items():
        try:
            check_contrast(name, weights, sweep.arms)
        except ValueError as error:
            raise InputError(f"{sweep.name}: contrasts: {error}") from error
    return replace(plan, contrasts=mine) if plan and mine else None


def check_given(given: Mapping[str, Any], sweeps: Iterable[Sweep]) -> None:
    """Refuses contrasts of an option that no sweep has the arms of.

    Raises:
        InputError: names the first one.
    """
    known = list(sweeps)
    for name, weights in given.get("contrasts", {}).items():
        if not any(_has(sweep, weights) for sweep in known):
            raise InputError(f"{argument('contrasts')}: no sweep has the arms of contrast {name}: {', '.join(weights)}")


def _has(sweep: Sweep, weights: Weights) -> bool:
    return set(weights) <= set(sweep.arms)


def decide(plan: Plan, rows: ArmRows, tests: RowTests) -> list[Family]:
    """A family for each point, on the average of the table. Its plain differences are the answers of their pairs of
    rows from here on, wherever the report compares them."""
    families = []
    for point, arms in rows.points.items():
        tested = contrast_tests(plan.contrasts, _scores(_cells(arms, AVERAGE)), margin=plan.margin)
        if tested:
            pairs = [(arms[each.pair[0]], arms[each.pair[1]], each.holm) for each in tested if each.pair]
            tests.settle(pairs, AVERAGE)
            families.append(Family(point=point, score=rows.columns[AVERAGE], tests=tuple(tested)))
    return families


def contrasts_table(
    plan: Plan, families: Sequence[Family], decided: ArmRows, further: Sequence[tuple[str, ArmRows]]
) -> Table | None:
    """The families, then the same contrasts of other scores, which are described and not tested: the average of
    `further` tables (each with its heading), and of STS12 to STS16 alone. None without a family."""
    if not families:
        return None
    sweep = decided.sweep
    blocks = [
        Block(
            title=_title(family.point, family.score),
            kind="measured",
            rows=tuple(_tested(sweep, family, each, decided.points[family.point]) for each in family.tests),
        )
        for family in families
    ]
    for family in families:
        blocks += _described(plan, family, decided, further)
    margin = f"±{plan.margin:g}"
    return Table(
        name=f"contrasts-{slug(sweep.name)}",
        title=f"Sweep {sweep.name}: planned contrasts",
        columns={
            "difference": "Difference",
            "interval": "95 % interval",
            "p": "p",
            "holm": "p, Holm",
            "equivalence": f"p, within {margin}",
            "finding": "Finding",
        },
        blocks=tuple(blocks),
        key=(
            "A contrast is a weighted sum of arms, formed seed by seed, in points; p of a t-test over seeds, corrected "
            f"by Holm's method over the {len(families[0].tests)} contrasts of a block. Where a contrast is not found, "
            f"two one-sided tests ask whether it lies within {margin} points; they are not corrected.",
        ),
        notes=(
            "The interval is that of the t-test, not corrected. ± is the sample standard deviation over seeds.",
            "Blocks that are marked as described are not tested.",
        ),
        row_heading="Contrast",
    )


def finding(test: ContrastTest) -> str:
    """What the tests say of one contrast."""
    if test.holm is None:
        return "not tested"
    if test.found:
        return "found"
    return f"equal within ±{test.margin:g}" if test.equivalent else "neither shown"


def formula(weights: Weights) -> str:
    """`both − teacher − images + neither`."""
    words = []
    for arm, weight in sorted(weights.items(), key=lambda item: item[1] < 0):
        if weight:
            factor = "" if abs(weight) == 1 else f"{abs(weight):g} "
            words.append(f"{'−' if weight < 0 else '+'} {factor}{arm}")
    return " ".join(words).removeprefix("+ ")


def _title(point: str, score: str) -> str:
    return f"{point}, {score}" if point else score


def _cells(arms: Mapping[str, Row], column: str) -> dict[str, Cell]:
    return {arm: row.cells[column] for arm, row in arms.items() if column in row.cells}


def _scores(cells: Mapping[str, Cell]) -> dict[str, Scores]:
    return {arm: cell.by_seed for arm, cell in cells.items()}


def _tested(sweep: Sweep, family: Family, test: ContrastTest, arms: Mapping[str, Row]) -> Row:
    row = _row(sweep, family, test, _cells(arms, AVERAGE))
    equivalence = Cell() if test.found else p_cell(test.equivalence_p)
    tests = {"p": p_cell(test.over_seeds.p_value), "holm": p_cell(test.holm), "equivalence": equivalence}
    return replace(row, cells={**row.cells, **tests, "finding": Cell(printed=finding(test))})


def _row(sweep: Sweep, family: Family, test: ContrastTest, scores: Mapping[str, Cell]) -> Row:
    """One contrast of a score of the arms; its seeds are those at which all of its arms have that score."""
    values = test.over_seeds.differences
    seeds = set.intersection(*(set(scores[arm].by_seed) for arm, weight in test.weights.items() if weight))
    sources = [source for arm in test.weights for source in scores[arm].sources]
    cells = {
        "difference": Cell(
            value=test.over_seeds.difference,
            printed=f"{test.over_seeds.difference:+z.2f}",
            deviation=stdev(values) if len(values) > 1 else None,
            count=len(values),
            sources=tuple(dict.fromkeys(sources)),
        ),
        "interval": Cell(printed=interval_text(test.over_seeds.interval)),
    }
    known = tuple(sorted(seeds, key=str))
    label = f"{test.name}: {formula(test.weights)}"
    return Row(label=label, identity=f"{sweep.name}#{family.point}#{test.name}", cells=cells, seeds=known)


def _described(plan: Plan, family: Family, decided: ArmRows, further: Sequence[tuple[str, ArmRows]]) -> list[Block]:
    """A block for each further score of one point."""
    arms = decided.points[family.point]
    scores = {heading: _cells(rows.points.get(family.point, {}), AVERAGE) for heading, rows in further}
    if decided.table.name == "sts":
        scores["Avg. of STS12 to STS16"] = {arm: _mean(row, STS_YEARS) for arm, row in arms.items()}
    blocks = []
    for heading, by_arm in scores.items():
        tested = contrast_tests(plan.contrasts, _scores(by_arm), margin=plan.margin)
        rows = tuple(_row(decided.sweep, family, each, by_arm) for each in tested)
        if rows:
            blocks.append(Block(title=f"{_title(family.point, heading)} (described)", kind="measured", rows=rows))
    return blocks


def _mean(row: Row, columns: Sequence[str]) -> Cell:
    """The mean of some scores at each seed that has them all."""
    cells = [row.cells.get(column, Cell()) for column in columns]
    shared = set.intersection(*(set(cell.by_seed) for cell in cells))
    sources = dict.fromkeys(source for cell in cells for source in cell.sources)
    return Cell(by_seed={seed: fmean(cell.by_seed[seed] for cell in cells) for seed in shared}, sources=tuple(sources))
