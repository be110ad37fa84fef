"""Published results and where they were printed, from `published.yaml`."""

from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict

from dalr.results import GROUPS


class PublishedSource(BaseModel):
    """Where a row was printed; `secondary` marks words that are not the authors' own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    url: str
    secondary: bool = False


class PublishedRow(BaseModel):
    """One row of a published table. `scores` and `deviations` map task names and `Avg` to the digits
    as printed, in percent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    table: str
    backbone: str
    data: str
    source: str
    scores: dict[str, str]
    deviations: dict[str, str] = {}
    note: str | None = None

    @property
    def label(self) -> str:
        """The row's name in a table: `DALR, BERT-base, wiki+flickr`."""
        return f"{self.model}, {self.backbone}, {self.data}"


class Published(BaseModel):
    """Every published row, its sources, and the protocol of each table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: dict[str, PublishedSource]
    protocols: dict[str, str]
    rows: tuple[PublishedRow, ...]

    def of(self, table: str) -> tuple[PublishedRow, ...]:
        """The rows of table `sts` or `transfer`, in file order."""
        return tuple(row for row in self.rows if row.table == table)


@cache
def published() -> Published:
    """The package's published rows, checked: every source is known, every task has digits."""
    text = resources.files("dalr.reports").joinpath("published.yaml").read_text(encoding="utf-8")
    everything = Published.model_validate(yaml.safe_load(text))
    for row in everything.rows:
        expected = {*GROUPS[row.table], "Avg"}
        if row.source not in everything.sources or set(row.scores) != expected or not set(row.deviations) <= expected:
            raise ValueError(f"published.yaml: {row.label}: unknown source, or tasks other than {sorted(expected)}")
    return everything
