"""Image-text retrieval: both directions, R@1, 5, 10 and the median rank, a block for each set of images."""

from collections import defaultdict
from collections.abc import Mapping

from dalr.reports.load.frame import Loaded, Source
from dalr.reports.load.published import published
from dalr.reports.tables.grid import Block, Row, Table, summary, with_places
from dalr.reports.tables.published import PUBLISHED, published_notes, published_row
from dalr.results import RETRIEVAL, Retrieval

WAYS = {"image_to_text": "image → text", "text_to_image": "text → image"}
RECALLS = {"r1": "R@1", "r5": "R@5", "r10": "R@10"}
MEDIAN = "median_rank"


PRINTED = {"image_to_text_r1": "image_to_text.r1", "text_to_image_r1": "text_to_image.r1"}
"""The columns of published scores."""


def retrieval_table(loaded: Loaded, labels: Mapping[str, str], *, with_published: bool = True) -> Table | None:
    """The table of all results with retrieval; None where there is none. Rows are compared within a block: the
    same images, captions and folds. The published rows are those of Flickr30k's test images."""
    blocks: dict[str, dict[str, list[Source]]] = defaultdict(lambda: defaultdict(list))
    for source in loaded.sources.values():
        if RETRIEVAL in source.result.tasks:
            blocks[_title(source)][source.row].append(source)
    if not blocks:
        return None
    columns = {
        f"{way}.{key}": f"{heading} {name}"
        for way, heading in WAYS.items()
        for key, name in {**RECALLS, MEDIAN: "median rank"}.items()
    }
    medians = [column for column in columns if column.endswith(MEDIAN)]
    recalls = [column for column in columns if column not in medians]
    made = []
    for title, members in sorted(blocks.items()):
        rows = sorted((_row(labels[row], row, sources, columns) for row, sources in members.items()), key=_best_first)
        placed = with_places(with_places(rows, recalls), medians, highest=False)
        made.append(Block(title=title, kind="measured", rows=placed))
    if with_published:
        printed = tuple(published_row(row, columns=PRINTED) for row in published().of("retrieval"))
        made.append(Block(title=f"{PUBLISHED}: Flickr30k's test images", kind="published", rows=printed))
    return Table(
        name="retrieval",
        title="Image-text retrieval",
        columns=columns,
        blocks=tuple(made),
        notes=(
            "Through the grounding heads, by cosine; R@k in percent. An equal cosine of a wrong answer counts half.",
            *([f"Published: {published().protocols['retrieval']}."] if with_published else []),
            *(published_notes("retrieval") if with_published else []),
        ),
    )


def _of(source: Source) -> Retrieval:
    scores = source.result.tasks[RETRIEVAL].retrieval
    if scores is None:
        raise ValueError(f"{source.name}: {RETRIEVAL} without its ranks")
    return scores


def _title(source: Source) -> str:
    scores, split = _of(source), source.result.tasks[RETRIEVAL].split
    parts = f", the mean over {scores.folds} parts" if scores.folds > 1 else ""
    return f"Measured on {scores.images:,} images and {scores.captions:,} captions (split {split}){parts}"


def _row(label: str, row: str, sources: list[Source], columns: Mapping[str, str]) -> Row:
    cells = {}
    for column in columns:
        way, key = column.split(".")
        cells[column] = summary(
            {source.seed: (getattr(getattr(_of(source), way), key), source.name) for source in sources}
        )
    seeds = sorted({source.seed for source in sources}, key=lambda seed: (seed is None, seed))
    return Row(label=label, identity=row, cells=cells, seeds=tuple(seeds))


def _best_first(row: Row) -> tuple[float, str]:
    return (-sum(cell.value or 0.0 for column, cell in row.cells.items() if not column.endswith(MEDIAN)), row.label)
