"""How much each searched parameter matters, as the sweep that has ended says itself."""

import polars as pl

from dalr.reports.load.parquet import read_parquet
from dalr.reports.load.sweeps import Sweep

FILE = "importance.parquet"
COLUMNS = ["recipe", "path", "importance", "low", "high", "step"]


def importance(sweep: Sweep) -> pl.DataFrame:
    """`recipe`, `path`, `importance`, `low`, `high`, `step`, the most important first: each path's share of
    its recipe's importance, the ends of its interval, and the step whose score was compared (null: the
    trials' values). Empty where the sweep has not ended, or had too few trials to tell.

    Raises:
        InputError: importance.parquet is damaged or lacks a column.
    """
    path = sweep.folder / FILE
    if not path.is_file():
        return pl.DataFrame(schema=COLUMNS)
    return read_parquet(path, COLUMNS).select(COLUMNS).sort("recipe", "importance", descending=[False, True])
