"""Did I reproduce it? The measured rows whose recipe, backbone and corpus match a published row, against it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dalr.reports.answer import Answer, Outcome
from dalr.reports.load.frame import Source
from dalr.reports.load.published import PublishedRow, published
from dalr.reports.load.runs import Run
from dalr.reports.tables.grid import Row, Table
from dalr.reports.tables.scores import AVERAGE, average_of
from dalr.statistics.reproduction import MARGIN, Reproduction, reproduction

VARIANTS = ("_roberta", "_coco")  # endings of a recipe's name that choose backbone and corpus
CORPORA = {"flickr30k": "wiki+flickr", "coco": "wiki+coco"}
OUTCOMES: dict[str, Outcome] = {"reproduced": "reproduced", "short": "short", "unknown": "unknown"}


def reproductions(table: Table, sources: Iterable[Source]) -> list[Answer]:
    """An answer for each measured row and each published row that it reproduces, by their averages. Rows of
    another protocol than `test`, or not on the official data, reproduce nothing."""
    by_row: dict[str, list[Source]] = {}
    for source in sources:
        if source.run and source.result.protocol == "test" and source.result.provenance.official_data:
            by_row.setdefault(source.row, []).append(source)
    answers = []
    for row in table.measured:
        own = by_row.get(row.identity, [])
        if own and average_of(row) is not None:
            answers += [_answer(table, row, own[0], target) for target in _targets(table.name, own[0].run)]
    return answers


def _targets(table: str, run: Run | None) -> list[PublishedRow]:
    """The published rows that a run reproduces."""
    if run is None or run.untrained:
        return []
    recipe, corpus, backbone = recipe_of(run), corpus_of(run.config), backbone_of(run.config)
    return [
        row
        for row in published().of(table)
        if row.reproduced_by == recipe and row.data == corpus and row.backbone == backbone and AVERAGE in row.scores
    ]


def recipe_of(run: Run) -> str | None:
    """The recipe's name without the endings that choose backbone and corpus."""
    name = run.recipe
    for ending in reversed(VARIANTS):
        name = name.removesuffix(ending) if name else name
    return name


def corpus_of(config: Mapping[str, Any]) -> str | None:
    """`wiki`, `wiki+flickr` or `wiki+coco`, by the names of the training files; None for others."""
    data = config.get("data", {})
    if "wiki1m" not in str(data.get("text")):
        return None
    captions = data.get("captions")
    if not captions or data.get("pair_every", "auto") is None:
        return "wiki"
    return next((corpus for name, corpus in CORPORA.items() if name in str(captions)), None)


def backbone_of(config: Mapping[str, Any]) -> str | None:
    """The published name of the student; None for another student, or for one that was cut."""
    model = config.get("model", {})
    student = str(model.get("student", "")).rsplit("/", 1)[-1]
    whole = model.get("layers") is None
    return next((name for name, known in published().backbones.items() if known == student and whole), None)


def _answer(table: Table, row: Row, source: Source, target: PublishedRow) -> Answer:
    cell = row.cells[AVERAGE]
    measured = reproduction(list(cell.by_seed.values()), float(target.scores[AVERAGE]))
    spread = f" ± {cell.deviation_text}" if cell.deviation is not None else ""
    theirs = target.scores[AVERAGE] + (f" ± {target.deviations[AVERAGE]}" if AVERAGE in target.deviations else "")
    over = f" over {target.seeds} seeds" if target.seeds else ""
    secondary = ", a secondary source" if published().sources[target.source].secondary else ""
    n = f"{measured.seeds} seed{'s' * (measured.seeds != 1)}"
    differing = _differing(source, target, measured.seeds)
    return Answer(
        outcome=OUTCOMES[measured.outcome],
        where=f"Did it reproduce {target.label}? {table.title}, average",
        headline=f"{row.label}: {cell.text}{spread} over {n}; published: {theirs}{over} [{target.source}{secondary}].",
        reason=f"{_verdict(measured, n)}{differing}",
    )


def _verdict(measured: Reproduction, n: str) -> str:
    span = measured.interval
    within = f" (95 % interval {span.low:+.2f} to {span.high:+.2f})" if span else ""
    difference = f"{measured.difference:+.2f} points{within}"
    if measured.outcome == "reproduced":
        return f"{difference}: reproduced, to within {MARGIN} points."
    if measured.outcome == "short":
        return f"{difference}: short by {-measured.difference:.2f}."
    return f"{difference}: {n} cannot tell."


def _differing(source: Source, target: PublishedRow, seeds: int) -> str:
    """What the run's config has otherwise than the published setting; nothing is guessed of keys that it lacks."""
    run = source.run
    if run is None or target.reproduced_by is None:
        return ""
    config = {**_flat(run.config), "pooler": source.result.pooler}
    theirs = published().settings_of(target.reproduced_by, target.data, target.backbone)
    parts = [
        f"{key} {_plain(config[key])} (published {_plain(value)})"
        for key, value in theirs.items()
        if key in config and config[key] != value
    ]
    parts += [f"{key} {_plain(value)} (not the recipe's)" for key, value in _objective(run)]
    if config.get("train.steps") is not None:
        parts.append(f"train.steps {config['train.steps']}")
    if target.seeds and target.seeds != seeds:
        parts.append(f"{seeds} seeds (published {target.seeds})")
    known = f" Differs from the published setting: {'; '.join(parts)}." if parts else ""
    return known or f" No difference from the published setting in {', '.join(theirs)}."


def _objective(run: Run) -> Sequence[tuple[str, Any]]:
    return [(key, value) for key, value in (run.overrides or {}).items() if key.startswith(("objective.", "teachers."))]


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config's parts by dotted key, lists left out."""
    return {
        f"{part}.{name}": value
        for part, values in config.items()
        if isinstance(values, dict)
        for name, value in values.items()
    }


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
