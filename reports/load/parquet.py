"""The Parquet files that a sweep leaves."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from dalr.errors import InputError


def read_parquet(path: Path, required: Iterable[str]) -> pl.DataFrame:
    """A file's frame.

    Raises:
        InputError: it is damaged, or lacks one of the `required` columns.
    """
    try:
        frame = pl.read_parquet(path.read_bytes())  # polars opens no path that is not UTF-8
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path.name}: not a readable Parquet file: {' '.join(str(error).split())}") from error
    missing = [column for column in required if column not in frame.columns]
    if missing:
        raise InputError(f"{path.name}: no column {', '.join(missing)}; a sweep writes {', '.join(required)}")
    return frame
