"""Published results and where they were printed, from `published.yaml`."""

from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict

from dalr.results import GROUPS
from dalr.yaml_text import parse_yaml


class PublishedSource(BaseModel):
    """Where a row was printed; `secondary` marks words that are not the authors' own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    url: str
    secondary: bool = False


class PublishedRow(BaseModel):
    """One row of a published table. `scores` and `deviations` map task names and `Avg` to the digits
    as printed, in percent; a row may lack some. `seeds` is how many runs it averages, None where its source does
    not say. `reproduced_by` is the recipe whose runs are compared with it; `arm` is the arm of the sweep
    `ablation_groups` that it is printed beside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    table: str
    backbone: str
    data: str
    source: str
    scores: dict[str, str]
    deviations: dict[str, str] = {}
    seeds: int | None = None
    reproduced_by: str | None = None
    arm: str | None = None
    note: str | None = None

    @property
    def label(self) -> str:
        """The row's name in a table: `DALR, BERT-base, wiki+flickr`."""
        return f"{self.model}, {self.backbone}, {self.data}"


class PublishedSettings(BaseModel):
    """What the authors of some recipes trained with, by config key; on any corpus and backbone where none is
    named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipes: tuple[str, ...]
    corpora: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    source: str
    values: dict[str, str | int | float]

    def are_of(self, recipe: str, corpus: str, backbone: str) -> bool:
        """Whether they are those of this recipe on this corpus and backbone."""
        named = (recipe, self.recipes), (corpus, self.corpora), (backbone, self.backbones)
        return all(not known or value in known for value, known in named)


class Published(BaseModel):
    """Every published row, its sources, the protocol of each table; the students and settings of the authors; and,
    by table, what is printed somewhere and is not here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: dict[str, PublishedSource]
    protocols: dict[str, str]
    backbones: dict[str, str]
    settings: tuple[PublishedSettings, ...]
    rows: tuple[PublishedRow, ...]
    absent: dict[str, tuple[str, ...]]

    def of(self, table: str) -> tuple[PublishedRow, ...]:
        """The rows of a table (`sts`, `transfer`, `retrieval`, `mteb`), in file order."""
        return tuple(row for row in self.rows if row.table == table)

    def settings_of(self, recipe: str, corpus: str, backbone: str) -> dict[str, str | int | float]:
        """What the authors trained with, by config key."""
        return {
            key: value
            for settings in self.settings
            if settings.are_of(recipe, corpus, backbone)
            for key, value in settings.values.items()
        }


COLUMNS = {
    "sts": {*GROUPS["sts"], "Avg"},
    "transfer": {*GROUPS["transfer"], "Avg"},
    "retrieval": {"text_to_image_r1", "image_to_text_r1"},
    "mteb": {"Reranking"},
}
"""What a row of each table may have."""


@cache
def published() -> Published:
    """The package's published rows, checked: every source is known, every column is one of its table."""
    text = resources.files("dalr.reports").joinpath("published.yaml").read_text(encoding="utf-8")
    everything = Published.model_validate(parse_yaml(text, "published.yaml"))
    for row in everything.rows:
        known = COLUMNS[row.table]
        if row.source not in everything.sources or not set(row.scores) <= known or not set(row.deviations) <= known:
            raise ValueError(f"published.yaml: {row.label}: unknown source, or columns other than {sorted(known)}")
    return everything
