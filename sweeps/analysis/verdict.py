"""What the final runs of a sweep have shown: whether a winner beats its base recipe, or another recipe's winner.

The winner of a search is partly lucky: the best of n noisy values lies above its own mean. Only the
final runs on fresh seeds tell what it is worth, and only a test tells whether that is more than noise.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, stdev

from scipy import stats

from dalr.results import read_result
from dalr.statistics import holm
from dalr.sweeps.analysis.examples import examples_p, final_folder, tasks_of
from dalr.sweeps.search.finals import BASE, FinalRecord
from dalr.sweeps.search.snapshot import SweepState

LEVEL = 0.05
THE_BASE = "the base recipe"


@dataclass(frozen=True)
class Contest:
    """A final candidate against its `opponent` in one column, over the seeds that both have: against its base
    recipe, or one recipe's winner against another's.

    `column` is the search's metric (dev) or a test score; `primary` is the one that decides (`headline`).
    `difference` in points (mean over `seeds`). `seed_p`: paired t-test over seeds, None below 2 seeds;
    `example_p`: permutation test over the test pairs, None where none are stored. `adjusted_p` is Holm's
    over the sweep's primary contests with base recipes, over those between recipes, or over all others.
    `seeds_needed` is how many seeds would make this difference, at its present spread, significant after
    that correction. `differences` by seed.
    """

    recipe: str
    candidate: int
    opponent: str
    column: str
    ours: float
    theirs: float
    difference: float
    seeds: int
    seed_p: float | None
    example_p: float | None = None
    adjusted_p: float | None = None
    seeds_needed: int | None = None
    primary: bool = False
    differences: tuple[float, ...] = ()

    @property
    def significant(self) -> bool:
        """Better than the opponent by more than the seeds' noise."""
        return self.difference > 0 and self.adjusted_p is not None and self.adjusted_p < LEVEL

    def sentence(self) -> str:
        """The verdict in words."""
        sign = f"{self.difference:+.2f} points on {self.column} over {self.seeds} seed{'s' * (self.seeds != 1)}"
        if self.seed_p is None:
            return f"{self.who} against {self.opponent}: {sign}; too few seeds for a test"
        return f"{self.who} is {self.verdict} {self.opponent}: {sign}, {self._certainty()}"

    @property
    def between_recipes(self) -> bool:
        """Whether the opponent is another recipe's winner."""
        return self.opponent != THE_BASE

    @property
    def who(self) -> str:
        """The candidate in words."""
        return f"trial {self.candidate}" + (f" of {self.recipe}" if self.between_recipes else "")

    @property
    def verdict(self) -> str:
        """`better than`, `worse than` or `not distinguishable from`."""
        if self.adjusted_p is None or self.adjusted_p >= LEVEL:
            return "not distinguishable from"
        return "better than" if self.difference > 0 else "worse than"

    def line(self) -> str:
        """The contest in one short line, for those that do not decide."""
        scores = f"{self.ours:.2f} against {self.theirs:.2f} ({self.difference:+.2f})"
        if self.seed_p is None:
            return f"{self.column}: {scores}; too few seeds for a test"
        return f"{self.column}: {self.verdict.rsplit(' ', 1)[0]}, {scores}, {self._certainty()}"

    def _certainty(self) -> str:
        p = f"p = {self.seed_p if self.adjusted_p is None else self.adjusted_p:.3g} over seeds"
        if self.example_p is not None:
            p += f", {self.example_p:.3g} over the test pairs"
        unsure = self.verdict.startswith("not") and self.seeds_needed
        return f"{p}; about {self.seeds_needed} seeds would tell" if unsure else p


def contests(state: SweepState) -> list[Contest]:
    """Every final candidate against its base, on the search's metric and on the test scores that the
    final runs have, the deciding score first; of several recipes then the winners against each other, on the
    deciding score. Significance is corrected over the candidates for that score, over the pairs of recipes,
    and over everything else for the rest: nine more columns must not hide a clear answer."""
    found, between = [], []
    for recipe in state.spec.recipe:
        ended = _ended(state, recipe)
        base = ended.pop(BASE, [])
        for ours in ended.values():
            found += _against(state, ours, base, THE_BASE)
    winners = [runs for recipe in state.spec.recipe if (runs := _winner(state, recipe))]
    for ours, theirs in combinations(winners, 2):
        opponent = f"trial {theirs[0].candidate} of {theirs[0].recipe}"
        between += [contest for contest in _against(state, ours, theirs, opponent) if contest.primary]
    families = [c for c in found if c.primary], between, [c for c in found if not c.primary]
    return [contest for family in families for contest in _corrected(family)]


def _ended(state: SweepState, recipe: str) -> dict[int, list[FinalRecord]]:
    """The complete final runs of each of a recipe's candidates."""
    ended: dict[int, list[FinalRecord]] = {}
    for record in state.finals:
        if record.recipe == recipe and record.run.state == "complete":
            ended.setdefault(record.candidate, []).append(record)
    return ended


def _winner(state: SweepState, recipe: str) -> list[FinalRecord]:
    """The final runs of the candidate with which the recipe's search ended: chosen by what the search saw."""
    ended = _ended(state, recipe)
    return next((ended[trial.number] for trial in state.best(recipe) if trial.number in ended), [])


def _corrected(family: Sequence[Contest]) -> list[Contest]:
    adjusted = holm({str(i): c.seed_p for i, c in enumerate(family) if c.seed_p is not None})
    return [_with_correction(c, adjusted.get(str(i))) for i, c in enumerate(family)]


def _with_correction(contest: Contest, p: float | None) -> Contest:
    if p is None or contest.seed_p is None:
        return contest
    # Holm multiplies a p-value; to ask for less of the p-value comes to the same.
    needed = seeds_needed(contest.differences, level=LEVEL * contest.seed_p / p if p else LEVEL)
    return replace(contest, adjusted_p=p, seeds_needed=needed and max(needed, contest.seeds + 1 if p >= LEVEL else 2))


def headline(columns: Iterable[str], metric: str) -> str:
    """The column that decides: the STS average of the test sets, else the metric's own test score, else
    the metric."""
    task = metric.rpartition(".")[0]
    return next((column for column in ("sts_avg", f"{task}.test") if column in columns), metric)


def _against(
    state: SweepState, ours: Sequence[FinalRecord], theirs: Sequence[FinalRecord], opponent: str
) -> list[Contest]:
    """One candidate's final runs against another's, a contest for each column that both have."""
    one, other = ({r.run.seed: final_scores(state, r) for r in records} for records in (ours, theirs))
    columns = dict.fromkeys(column for scores in (*one.values(), *other.values()) for column in scores)
    found = []
    for column in columns:
        seeds = [s for s in one if s in other and column in one[s] and column in other[s]]
        if not seeds:
            continue
        a, b = [one[s][column] for s in seeds], [other[s][column] for s in seeds]
        differences = [x - y for x, y in zip(a, b, strict=True)]
        pairs = [(_by_seed(ours, s), _by_seed(theirs, s)) for s in seeds]
        primary = column == headline(columns, state.spec.metric[0])
        example_p = examples_p(state.out, tasks_of(column), pairs) if primary else None
        contest = Contest(
            recipe=ours[0].recipe,
            candidate=ours[0].candidate,
            opponent=opponent,
            column=column,
            ours=fmean(a),
            theirs=fmean(b),
            difference=fmean(differences),
            seeds=len(seeds),
            seed_p=paired_t(differences),
            example_p=example_p,
            differences=tuple(differences),
            primary=primary,
        )
        found.append(contest)
    return found


def _by_seed(records: Sequence[FinalRecord], seed: int) -> FinalRecord:
    return next(record for record in records if record.run.seed == seed)


def final_scores(state: SweepState, record: FinalRecord) -> dict[str, float]:
    """A final run's scores: the search's metric, each task's test score, and the averages it has."""
    scores = {state.spec.metric[0]: record.run.value} if record.run.value is not None else {}
    path = final_folder(state.out, record) / "results" / "test.json"
    if path.is_file():
        result = read_result(path)
        scores |= {f"{name}.test": task.score for name, task in result.tasks.items()}
        scores |= {"sts_avg": result.sts_avg} if result.sts_avg is not None else {}
        scores |= {"transfer_avg": result.transfer_avg} if result.transfer_avg is not None else {}
    return scores


def paired_t(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of the paired t-test; None where there is no spread to test against."""
    if len(differences) < 2 or max(differences) - min(differences) < 1e-9:
        return None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def seeds_needed(differences: Sequence[float], *, power: float = 0.8, level: float = LEVEL) -> int | None:
    """How many paired seeds a t-test at `level` needs to see this mean difference at this spread in `power`
    of the cases; None where that cannot be said."""
    if len(differences) < 2 or fmean(differences) == 0 or stdev(differences) < 1e-9:
        return None
    effect = abs(fmean(differences)) / stdev(differences)
    for n in range(2, 10_001):
        critical = stats.t.ppf(1 - level / 2, n - 1)
        if stats.nct.sf(critical, n - 1, effect * math.sqrt(n)) >= power:
            return n
    return None
