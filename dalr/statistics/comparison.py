"""One model against another on one score, and Holm's correction over the family of a question.

A comparison has one p-value, wherever it is shown: the t-test over seeds after Holm's correction over its
family. The families are defined here, once, and explained in docs/reports.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dalr.statistics.correction import holm
from dalr.statistics.power import seeds_needed
from dalr.statistics.significance import LEVEL, SeedTest

FamilyName = Literal["average", "tasks", "recipes"]


@dataclass(frozen=True)
class Family:
    """The comparisons that answer one `question` in one table or one sweep; `spans` says what they run over."""

    question: str
    spans: str


FAMILIES: dict[FamilyName, Family] = {
    "average": Family("Is it better, by the score that decides?", "the rows that are compared"),
    "tasks": Family("In which tasks?", "the rows that are compared, times all other scores"),
    "recipes": Family("Which recipe's winner is better?", "the pairs of recipes"),
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`ours` against `theirs` (names) on `score`, a column's name. `seed_p` and `example_p` are before,
    `seed_holm` and `example_holm` after the correction over `family`; None where there was nothing to
    test with: fewer than two seeds, no stored examples. `lower_is_better`: the score is one that a search minimises."""

    ours: str
    theirs: str
    score: str
    family: FamilyName
    over_seeds: SeedTest
    example_p: float | None = None
    seed_holm: float | None = None
    example_holm: float | None = None
    lower_is_better: bool = False

    @property
    def leads(self) -> bool:
        """Whether ours has the better mean; how sure that is, the tests say."""
        return self.difference < 0 if self.lower_is_better else self.difference > 0

    @property
    def difference(self) -> float:
        """Ours minus theirs, in points."""
        return self.over_seeds.difference

    @property
    def seeds(self) -> int:
        """How many seeds of each took part."""
        return self.over_seeds.seeds

    @property
    def seed_p(self) -> float | None:
        """The p-value over seeds before the correction."""
        return self.over_seeds.p_value

    @property
    def holds_over_seeds(self) -> bool:
        """Whether the difference, of either sign, is significant over seeds."""
        return self.seed_holm is not None and self.seed_holm < LEVEL

    @property
    def holds_over_examples(self) -> bool:
        """Whether the difference, of either sign, is significant over test examples."""
        return self.example_holm is not None and self.example_holm < LEVEL

    @property
    def seeds_needed(self) -> int | None:
        """How many seeds would make this difference, at its spread, significant after the correction, with
        a power of 80 %; at least one more than there are. None where it is significant already, or where
        that cannot be said."""
        if self.seed_p is None or self.seed_holm is None or self.holds_over_seeds:
            return None
        # Holm multiplies a p-value; to ask for a smaller p-value comes to the same.
        level = LEVEL * self.seed_p / self.seed_holm if self.seed_holm else LEVEL
        needed = seeds_needed(self.over_seeds.differences, level=level)
        return needed and max(needed, self.seeds + 1)

    @property
    def reversed(self) -> "Comparison":
        """The same comparison, seen from the other side."""
        test = self.over_seeds
        span = test.interval and replace(test.interval, low=-test.interval.high, high=-test.interval.low)
        turned = replace(
            test, difference=-test.difference, interval=span, differences=tuple(-d for d in test.differences)
        )
        return replace(self, ours=self.theirs, theirs=self.ours, over_seeds=turned)

    @property
    def relation(self) -> str:
        """`better than`, `worse than`, or `not distinguishable from`, at the 5 % level over seeds."""
        if not self.holds_over_seeds:
            return "not distinguishable from"
        return "better than" if self.leads else "worse than"

    @property
    def amount(self) -> str:
        """`+1.11 points (95 % interval +0.80 to +1.42)`; the interval is that of the t-test, uncorrected."""
        span = self.over_seeds.interval
        within = f" (95 % interval {span.low:+.2f} to {span.high:+.2f})" if span else ""
        return f"{self.difference:+z.2f} points{within}"

    @property
    def finding(self) -> str:
        """`holds at the 5 % level (n = 3 seeds, p = 0.0041)`: what the test over seeds says of the difference."""
        n = f"n = {self.seeds} seed{'s' * (self.seeds != 1)}"
        if self.seed_holm is None:
            why = f"{n} with equal differences" if self.seeds > 1 else n
            return f"cannot be tested over seeds ({why})"
        test = "" if self.over_seeds.paired else ", no shared seed: Welch's test"
        more = f"; about {self.seeds_needed} seeds would tell" if self.seeds_needed else ""
        holds = "holds" if self.holds_over_seeds else "does not hold"
        p_value = _corrected_text(self.seed_p, self.seed_holm)
        return f"{holds} at the {100 * LEVEL:.0f} % level ({n}, {p_value}{test}{more})"

    @property
    def example_finding(self) -> str:
        """The same of the test over examples."""
        if self.example_holm is None:
            return "over test examples it was not tested (none stored)"
        holds = "holds" if self.holds_over_examples else "does not hold"
        return f"over test examples it {holds} ({_corrected_text(self.example_p, self.example_holm)})"

    def sentence(self, score: str | None = None) -> str:
        """What was compared, and what the tests say; `score` is the score's name in a table."""
        verb = "against" if self.seed_holm is None else f"is {self.relation}"
        examples = "" if self.example_holm is None else f"; {self.example_finding}"
        where = score or self.score
        return f"{self.ours} {verb} {self.theirs} on {where}: {self.amount}. This {self.finding}{examples}."


def p_text(p_value: float) -> str:
    """A p-value in two significant digits: `p = 0.0041`, `p < 0.001`."""
    return f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"


def _corrected_text(before: float | None, after: float) -> str:
    """The p-value, with a word where the correction has changed it."""
    text = p_text(after)
    return text if before is None or p_text(before) == text else f"{text} after Holm's correction"


def corrected(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """The comparisons of one table, each p-value adjusted by Holm over its family, over seeds and over
    examples separately. Those that could not be tested do not count."""
    families: dict[FamilyName, list[Comparison]] = defaultdict(list)
    for comparison in comparisons:
        families[comparison.family].append(comparison)
    return [adjusted for family in families.values() for adjusted in _corrected(family)]


def _corrected(family: Sequence[Comparison]) -> list[Comparison]:
    over_seeds = holm({place: each.seed_p for place, each in enumerate(family) if each.seed_p is not None})
    over_examples = holm({place: each.example_p for place, each in enumerate(family) if each.example_p is not None})
    return [
        replace(each, seed_holm=over_seeds.get(place), example_holm=over_examples.get(place))
        for place, each in enumerate(family)
    ]
