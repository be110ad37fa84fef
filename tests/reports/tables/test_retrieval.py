"""Retrieval has a table of its own, a block for each set of images, and no place among a user's own tasks."""

from pathlib import Path

from dalr.reports.build import build
from dalr.reports.check import check
from dalr.reports.options import Options
from dalr.reports.write import write
from dalr.results import RETRIEVAL, Recall, Result, Retrieval
from tests.reports.make import result, run


def with_retrieval(recall: float, *, seed: int, images: int = 1000) -> Result:
    made = result(scores={RETRIEVAL: recall}, seed=seed)
    way = {"r1": recall, "r5": recall + 10, "r10": recall + 20}
    scores = Retrieval(
        images=images,
        captions=5 * images,
        image_to_text=Recall(**way, median_rank=17.5),
        text_to_image=Recall(**way, median_rank=20 - recall),
    )
    task = made.tasks[RETRIEVAL].model_copy(update={"retrieval": scores})
    return made.model_copy(update={"tasks": {RETRIEVAL: task}})


def test_both_directions_by_set_of_images(tmp_path: Path) -> None:
    for seed, recall in ((1, 8.0), (2, 9.0)):
        run(tmp_path / "runs" / f"dalr-{seed}", seed=seed, results={"r.json": with_retrieval(recall, seed=seed)})
    other = {"r.json": with_retrieval(7.0, seed=1)}
    run(tmp_path / "runs" / "mcse-1", recipe="mcse", seed=1, results=other, objective__intra_modal=0.0)
    larger = {"r.json": with_retrieval(3.0, seed=1, images=5000)}
    run(tmp_path / "runs" / "kdmcse-1", recipe="kdmcse", seed=1, results=larger, objective__intra_modal=0.1)
    report = build([tmp_path / "runs"], Options(with_figures=False))
    tables = {table.name: table for table in report.tables}
    table = tables["retrieval"]
    assert [block.title for block in table.blocks] == [
        "Measured on 1,000 images and 5,000 captions (split test)",
        "Measured on 5,000 images and 25,000 captions (split test)",
        "Published, as printed by their sources: Flickr30k's test images",
    ]
    dalr = table.blocks[-1].rows[0]
    assert (dalr.cells["text_to_image.r1"].text, dalr.cells["image_to_text.r1"].text) == ("26.7", "19.5")
    assert dalr.note == "[dalr_wizwand] secondary"
    assert table.notes[-1] == (
        "Printed, but in no source at hand, so not shown: R@5, R@10 and the median rank; retrieval on COCO."
    )
    first, second = table.blocks[0].rows
    assert (first.cells["image_to_text.r1"].text, second.cells["image_to_text.r1"].text) == ("8.50", "7.00")
    assert first.cells["image_to_text.r1"].deviation_text == "0.71"
    medians = [row.cells["text_to_image.median_rank"] for row in (first, second)]
    assert [(cell.text, cell.place) for cell in medians] == [("11.50", 1), ("13.00", 2)]  # the lower is the better
    assert "own" not in tables
    write(report, tmp_path / "report")
    assert "image → text R@1" in (tmp_path / "report" / "tables" / "retrieval.md").read_text()
    assert check(tmp_path / "report") == []
    alone = build([tmp_path / "runs"], Options(with_figures=False, hide_published=True))
    (table,) = (each for each in alone.tables if each.name == "retrieval")
    assert {block.kind for block in table.blocks} == {"measured"}
    assert "wizwand" not in " ".join(table.notes)
