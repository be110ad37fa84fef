"""Comparisons of a sweep's arms: what each score table shows of them, their planned contrasts, and the answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dalr.reports.answer import Answer
from dalr.reports.load.frame import Source
from dalr.reports.load.sweeps import Sweep
from dalr.reports.options import Options
from dalr.reports.significance import RowTests
from dalr.reports.tables.arms import ArmRows, arm_rows, arms_table
from dalr.reports.tables.contrasts import Family, Plan, check_given, contrasts_table, decide, finding, plan_for
from dalr.reports.tables.grid import Table
from dalr.reports.tables.scores import AGGREGATIONS, AVERAGE, Aggregation
from dalr.results import TRANSFER
from dalr.statistics.comparison import p_text
from dalr.statistics.contrasts import ContrastTest


@dataclass
class ArmComparison:
    """One sweep's arms, with what is planned to be tested of them; `parts` are filled table by table."""

    sweep: Sweep
    plan: Plan | None
    parts: list[tuple[ArmRows, RowTests | None]] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)

    @property
    def decides(self) -> str:
        """The table whose average the contrasts are tested on: that of the metric's group of tasks."""
        return "transfer" if self.sweep.metrics[0].rpartition(".")[0] in TRANSFER else "sts"

    def add(self, table: Table, tests: RowTests, sources: Iterable[Source]) -> None:
        """What a score table has of the arms. Called before anything else of the table is tested: what was planned
        has the first word."""
        rows = arm_rows(self.sweep, table, sources)
        if rows is None:
            return
        self.parts.append((rows, None if self.plan else tests))
        if self.plan and table.name == self.decides and AVERAGE in rows.columns:
            self.families = decide(self.plan, rows, tests)

    def tables(self, sts: Mapping[Aggregation, Table], options: Options, sources: Sequence[Source]) -> list[Table]:
        """The table of the arms and that of their contrasts; `sts` is the STS table under each aggregation."""
        if not self.parts:
            return []
        made = [arms_table(self.parts, with_published=not options.hide_published)]
        decided = next((rows for rows, _ in self.parts if rows.table.name == self.decides), None)
        if self.plan and decided:
            others = [rows for rows, _ in self.parts if rows is not decided]
            further = [(rows.columns[AVERAGE], rows) for rows in others if AVERAGE in rows.columns]
            for each in ("all", "mean"):
                rows = arm_rows(self.sweep, sts[each], sources) if each != options.aggregation else None
                further += [(f"STS Avg., {AGGREGATIONS[each]}", rows)] if rows and AVERAGE in rows.columns else []
            table = contrasts_table(self.plan, self.families, decided, further)
            made += [table] if table else []
        return made

    def answers(self) -> list[Answer]:
        """One for each family of contrasts."""
        return [_answer(self.sweep, family) for family in self.families]


def arm_comparisons(sweeps: Iterable[Sweep], given: Mapping[str, Any]) -> list[ArmComparison]:
    """Those of the sweeps that compare arms. `given` are the contrasts of the option, empty where there is none.

    Raises:
        InputError: contrasts that are none of a sweep's arms.
    """
    compared = [sweep for sweep in sweeps if sweep.arms]
    check_given(given, compared)
    return [ArmComparison(sweep, plan_for(sweep, given)) for sweep in compared]


def _answer(sweep: Sweep, family: Family) -> Answer:
    found = [test for test in family.tests if test.found]
    others = [test for test in family.tests if not test.found]
    point = f", {family.point}" if family.point else ""
    tested = any(test.holm is not None for test in family.tests)
    differences = ", ".join(f"{test.name} {test.over_seeds.difference:+z.2f}" for test in found)
    parts = {"Found": found, "Not found": others}
    return Answer(
        outcome="holds" if found else "not-shown" if tested else "untested",
        where=f"Sweep {sweep.name}, planned contrasts{point}, {family.score}",
        headline=f"{len(found)} of {len(family.tests)} contrasts are found" + (f": {differences}." if found else "."),
        reason=" ".join(f"{part}: {'; '.join(map(_said, tests))}." for part, tests in parts.items() if tests),
    )


def _said(test: ContrastTest) -> str:
    span = test.over_seeds.interval
    within = f", 95 % interval {span.low:+z.2f} to {span.high:+z.2f}" if span else ""
    p_value = f", {p_text(test.holm)} after Holm's correction" if test.holm is not None else ""
    seeds = test.over_seeds.seeds
    more = ""
    if not test.found and test.equivalence_p is not None:
        more = f"; {finding(test)}, {p_text(test.equivalence_p)}"
    n = f"n = {seeds} seed{'s' * (seeds != 1)}"
    return f"{test.name} {test.over_seeds.difference:+z.2f} ({n}{within}{p_value}{more})"
