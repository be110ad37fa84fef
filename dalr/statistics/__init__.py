"""Every test, interval, correction and estimate of the project. No torch.

`correlation`; `significance` (t-tests over seeds); `permutation` and `examples` (tests over test
examples); `correction` (Holm) and `comparison` (which comparisons are corrected together); `finals` (what a
sweep's final runs show); `intervals`; `best_of_n`; `power`. Every function that draws has its own
generator, so that it gives the same answer each time. Each imports `scipy` alone: its parts, of which
`scipy.stats` takes a second, come when they are named, which many commands never do.
"""

from dalr.statistics.correction import holm
from dalr.statistics.correlation import pearson, spearman
from dalr.statistics.examples import TaskDifference, compare_results
from dalr.statistics.intervals import ConfidenceInterval, mean_interval, spearman_interval

__all__ = [
    "ConfidenceInterval",
    "TaskDifference",
    "compare_results",
    "holm",
    "mean_interval",
    "pearson",
    "spearman",
    "spearman_interval",
]
