"""The final runs of a sweep as `dalr.statistics.finals` compares them: read from records and result files."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from dalr.results import TaskDetails, read_details, read_result
from dalr.statistics.comparison import Comparison
from dalr.statistics.examples import permuted_task, tasks_of_score
from dalr.statistics.finals import Finalist, compare_finals, minimised_scores
from dalr.statistics.permutation import mean_over_tasks
from dalr.statistics.significance import Seed
from dalr.sweeps.search.finals import BASE, FinalRecord
from dalr.sweeps.search.records import run_folder
from dalr.sweeps.search.snapshot import SweepState

RESULT = Path("results") / "test.json"


def final_folder(out: Path, record: FinalRecord) -> Path:
    """Where a final run lies."""
    return run_folder(out, record.name, record.run.seed)


def final_scores(state: SweepState, record: FinalRecord) -> dict[str, float]:
    """A final run's scores: the search's metric, each task's test score, and the averages it has."""
    scores = {state.spec.metric[0]: record.run.value} if record.run.value is not None else {}
    path = final_folder(state.out, record) / RESULT
    if path.is_file():
        result = read_result(path)
        scores |= {f"{name}.test": task.score for name, task in result.tasks.items()}
        scores |= {"sts_avg": result.sts_avg} if result.sts_avg is not None else {}
        scores |= {"transfer_avg": result.transfer_avg} if result.transfer_avg is not None else {}
    return scores


def final_comparisons(state: SweepState) -> list[Comparison]:
    """What the complete final runs show of each candidate against its base recipe, and of the recipes'
    winners against each other."""
    compared = [finalist for recipe in state.spec.recipe for finalist in finalists(state, recipe)]
    minimised = minimised_scores(state.spec.metric, state.spec.directions)
    return compare_finals(compared, state.spec.metric[0], _ExampleTest(state), minimised)


def finalists(state: SweepState, recipe: str) -> list[Finalist]:
    """The candidates of one recipe's final runs, and the base recipe, with their scores by seed. The winner
    is the best point of the search that has final runs, whatever these show."""
    records: dict[int, list[FinalRecord]] = defaultdict(list)
    for record in state.finals:
        if record.recipe == recipe and record.run.state == "complete":
            records[record.candidate].append(record)
    winner = next((trial.number for trial in state.best(recipe) if trial.number in records), None)
    of_recipe = f" of {recipe}" if len(state.spec.recipe) > 1 else ""
    return [
        Finalist(
            label=f"the base recipe{of_recipe}" if candidate == BASE else f"trial {candidate}{of_recipe}",
            recipe=recipe,
            candidate=None if candidate == BASE else candidate,
            scores=_by_score(state, runs),
            winner=candidate == winner,
        )
        for candidate, runs in records.items()
    ]


def _by_score(state: SweepState, records: Sequence[FinalRecord]) -> dict[str, dict[Seed, float]]:
    scores: dict[str, dict[Seed, float]] = defaultdict(dict)
    for record in records:
        for name, value in final_scores(state, record).items():
            scores[name][record.run.seed] = value
    return dict(scores)


class _ExampleTest:
    """Tests two finalists over the test examples that their final runs have kept."""

    def __init__(self, state: SweepState) -> None:
        self._folders: dict[tuple[str, int | None, Seed], Path] = {
            (record.recipe, None if record.candidate == BASE else record.candidate, record.run.seed): final_folder(
                state.out, record
            )
            for record in state.finals
        }

    def __call__(self, ours: Finalist, theirs: Finalist, score: str) -> float | None:
        seeds = [seed for seed in ours.scores[score] if seed in theirs.scores[score]]
        tasks = []
        for task in tasks_of_score(score):
            permuted = permuted_task(task, self._details(ours, seeds, task), self._details(theirs, seeds, task))
            if permuted is None:
                return None
            tasks.append(permuted)
        return mean_over_tasks(tasks).p_value if tasks else None

    def _details(self, finalist: Finalist, seeds: Sequence[Seed], task: str) -> list[TaskDetails]:
        """Those of each seed; fewer than there are seeds where some were not kept."""
        folders = [self._folders[finalist.recipe, finalist.candidate, seed] for seed in seeds]
        kept = [read_details(folder / RESULT, task) for folder in folders]
        return [details for details in kept if details is not None]
