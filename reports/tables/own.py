"""The table of tasks that are not the benchmark's: those that users declare themselves."""

from collections import defaultdict
from collections.abc import Mapping

import polars as pl

from dalr.reports.load.frame import Loaded
from dalr.reports.tables.scores import Block, Row, Table, summary, with_places
from dalr.results import GROUPS


def own_table(loaded: Loaded, labels: Mapping[str, str]) -> Table | None:
    """A column for each task of the users' own, in alphabetical order, a block for each protocol; None where
    there is no such task. It has no average: nobody says that such tasks belong together."""
    scores = (
        loaded.scores.filter(
            pl.col("metric") == "score", ~pl.col("task").is_in(GROUPS["all"]), ~pl.col("task").str.contains("/")
        )
        .select("protocol", "row", "task", "seed", "value", "source")
        .collect()
    )
    tasks = sorted(scores["task"].unique())
    if not tasks:
        return None
    found: dict[str, dict[str, dict[str, dict[int | None, tuple[float, str]]]]] = defaultdict(
        lambda: defaultdict(lambda: {task: {} for task in tasks})
    )
    for protocol, row, task, seed, value, source in scores.iter_rows():
        found[protocol][row][task][seed] = (value, source)
    blocks = []
    for protocol in sorted(found, reverse=True):
        rows = [_row(labels[row], row, by_task) for row, by_task in found[protocol].items()]
        rows.sort(key=lambda row: row.label)
        title = f"Measured, protocol {protocol}"
        blocks.append(Block(title=title, kind="measured", rows=with_places(rows, tasks)))
    return Table(
        name="own",
        title="Tasks of your own",
        columns={task: task for task in tasks},
        blocks=tuple(blocks),
        notes=(
            "Declared in YAML beside the data: Spearman × 100 for pairs with scores, accuracy in percent of a logistic "
            "regression for classes. ± is the sample standard deviation over seeds.",
            "Bold is the best, underlined the second of a block. – means not measured.",
        ),
    )


def _row(label: str, row: str, by_task: Mapping[str, Mapping[int | None, tuple[float, str]]]) -> Row:
    seeds = {seed for values in by_task.values() for seed in values}
    return Row(
        label=label,
        identity=row,
        cells={task: summary(values) for task, values in by_task.items()},
        seeds=tuple(sorted(seeds, key=lambda seed: (seed is None, seed))),
    )
