"""How much each searched parameter matters, as the sweep that has ended says itself."""

import polars as pl

from dalr.errors import InputError
from reports.sweeps import Sweep

FILE = "importance.parquet"
COLUMNS = {
    "recipe": pl.String,
    "path": pl.String,
    "importance": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "step": pl.Int64,
}


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
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{FILE}: not a readable Parquet file: {' '.join(str(error).split())}") from error
    if missing := [column for column in COLUMNS if column not in frame.columns]:
        raise InputError(f"{FILE}: no column {', '.join(missing)}; a sweep writes {', '.join(COLUMNS)}")
    return frame.select(*COLUMNS).sort("recipe", "importance", descending=[False, True])
