"""What the final runs of a sweep show, on fresh seeds: the rule, once, for the sweep and for reports.

The winner of a search is partly lucky: the best of n noisy values lies above its own mean. Only final
runs on seeds that the search never saw tell what it is worth.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from dalr.results import TRANSFER
from dalr.statistics.comparison import Comparison, FamilyName, corrected
from dalr.statistics.significance import Scores, over_seeds


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One point of a sweep on fresh seeds: `scores` maps each score's name to its values by seed.
    `candidate` is the trial's number, None for the base recipe; `winner` marks the candidate with which the
    recipe's search ended."""

    label: str
    recipe: str
    candidate: int | None
    scores: Mapping[str, Scores]
    winner: bool = False


ExampleTest = Callable[[Finalist, Finalist, str], float | None]
"""The p-value of two finalists' difference in a score over its test examples; None where none were stored."""


def deciding_score(scores: Iterable[str], metric: str, *, minimised: bool = False) -> str:
    """The score that decides: the test average of the metric's group of tasks (`sts_avg`, or `transfer_avg`
    where a transfer task was searched on), else the metric's own test score, else the metric. Of a metric that is
    minimised no average decides: in the other tasks of its group a high score is a good one."""
    task = metric.rpartition(".")[0]
    averages = [] if minimised else ["transfer_avg" if task in TRANSFER else "sts_avg"]
    known = set(scores)
    return next((score for score in (*averages, f"{task}.test") if score in known), metric)


def minimised_scores(metrics: Sequence[str], directions: Sequence[str]) -> frozenset[str]:
    """The scores in which less is better: the metrics that a search minimises, and the test scores of their tasks."""
    names = [metric for metric, direction in zip(metrics, directions, strict=True) if direction == "minimize"]
    tests = [f"{task}.test" for name in names if (task := name.rpartition(".")[0])]
    return frozenset([*names, *tests])


def compare_finals(
    finalists: Sequence[Finalist], metric: str, examples: ExampleTest, minimised: Collection[str] = ()
) -> list[Comparison]:
    """Every candidate against its base recipe in every score, the deciding score first; of several recipes
    then their winners against each other, in the deciding score. In the scores `minimised` less is better.

    Three families (`dalr.statistics.comparison.FAMILIES`): the deciding score over the candidates; the pairs
    of recipes; all other scores. Test examples are asked for the deciding score only.
    """
    # Of all finalists together, so that every candidate is judged by the same score.
    scores = (score for finalist in finalists for score in finalist.scores)
    decides = deciding_score(scores, metric, minimised=metric in minimised)
    comparisons = []
    for finalist in finalists:
        bases = [other for other in finalists if other.recipe == finalist.recipe and other.candidate is None]
        if finalist.candidate is not None and bases:
            comparisons += _against(finalist, bases[0], decides, examples)
    winners = [finalist for finalist in finalists if finalist.winner]
    for ours, theirs in combinations(winners, 2):
        comparisons += [
            each for each in _against(ours, theirs, decides, examples, family="recipes") if each.score == decides
        ]
    order: tuple[FamilyName, ...] = ("average", "recipes", "tasks")
    directed = [replace(each, lower_is_better=each.score in minimised) for each in corrected(comparisons)]
    return sorted(directed, key=lambda comparison: order.index(comparison.family))


def _against(
    ours: Finalist, theirs: Finalist, decides: str, examples: ExampleTest, family: FamilyName = "average"
) -> list[Comparison]:
    """A comparison for each score that both have at a shared seed."""
    comparisons = []
    for score in dict.fromkeys([*ours.scores, *theirs.scores]):
        mine, other = ours.scores.get(score, {}), theirs.scores.get(score, {})
        if not set(mine) & set(other):
            continue
        comparisons.append(
            Comparison(
                ours=ours.label,
                theirs=theirs.label,
                score=score,
                family=family if score == decides else "tasks",
                over_seeds=over_seeds(mine, other),
                example_p=examples(ours, theirs, score) if score == decides else None,
            )
        )
    return comparisons
