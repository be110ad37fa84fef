"""The Parquet files that a sweep leaves."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from dalr.errors import InputError

INTEGERS = frozenset("trial seed candidate steps place step trials".split())
NUMBERS = frozenset(
    "value seconds sts_avg transfer_avg share low high importance difference seed_p seed_holm example_p example_holm "
    "expected_best".split()
)
TEXTS = frozenset("state reason recipe path decides config_fingerprint".split())
"""What the columns hold that a sweep writes under these names; a score's name ends in `.dev` or `.test`. Of the others,
the settings that were searched, the values say it."""


def read_parquet(path: Path, required: Iterable[str]) -> pl.DataFrame:
    """A file's frame. A column without a single value has its own type all the same.

    Raises:
        InputError: it is damaged, lacks one of the `required` columns, or has values of another kind in a known one.
    """
    try:
        frame = pl.read_parquet(path.read_bytes())  # polars opens no path that is not UTF-8
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path.name}: not a readable Parquet file: {' '.join(str(error).split())}") from error
    missing = [column for column in required if column not in frame.columns]
    if missing:
        raise InputError(f"{path.name}: no column {', '.join(missing)}; a sweep writes {', '.join(required)}")
    return frame.with_columns(_checked(frame, path))


def _checked(frame: pl.DataFrame, path: Path) -> list[pl.Series]:
    """The known columns, each of its own type."""
    columns: list[pl.Series] = []
    wanted: pl.DataType
    for name, dtype in frame.schema.items():
        if name in INTEGERS:
            wanted, fits, words = pl.Int64(), dtype.is_integer(), "integers"
        elif name in NUMBERS or name.endswith((".dev", ".test")):
            wanted, fits, words = pl.Float64(), dtype.is_numeric(), "numbers"
        elif name in TEXTS:
            wanted, fits, words = pl.String(), dtype == pl.String, "texts"
        elif name == "winner":
            wanted, fits, words = pl.Boolean(), dtype == pl.Boolean, "true and false"
        else:
            continue
        if not fits and dtype != pl.Null:
            raise InputError(f"{path.name}: column {name} holds {dtype}, expected {words}; a sweep writes it anew")
        columns.append(frame[name].cast(wanted, strict=False) if dtype == pl.Null else frame[name])
    return columns
