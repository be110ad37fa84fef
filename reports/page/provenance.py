"""From a row of a table to its result files, runs, configs, code versions and data checksums."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dalr.reports.load.frame import Loaded, Source
from dalr.reports.load.names import counted, link, shortened, without_paths
from dalr.yaml_text import dump_yaml

MOST_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """One result file in words, for the page; `href` leads there from the report's folder, None where the
    file does not lie near it."""

    name: str
    href: str | None
    model: str
    run: str | None
    run_href: str | None
    seed: str
    scores: str
    fingerprint: str
    code: str
    data: str
    created: str


@dataclass(frozen=True, kw_only=True)
class RowFacts:
    """Everything behind one row."""

    identity: str
    label: str
    sources: tuple[SourceFacts, ...]
    config: str
    details: str


def provenance(
    loaded: Loaded, labels: Mapping[str, str], rows: Sequence[str], places: Mapping[str, str | None]
) -> list[RowFacts]:
    """The facts behind each of `rows` (identities), the first `MOST_ROWS` of them; `places` are the
    addresses of what was loaded, as `dalr.reports.load.names.addresses` has them."""
    behind: dict[str, list[Source]] = {}
    for source in loaded.sources.values():
        behind.setdefault(source.row, []).append(source)
    facts = []
    for row in list(dict.fromkeys(rows))[:MOST_ROWS]:
        sources = sorted(behind.get(row, []), key=lambda one: (one.seed is None, one.seed or 0, one.name))
        if not sources:
            continue
        first = sources[0]
        config = dump_yaml(without_paths(first.run.config)) if first.run else ""
        facts.append(
            RowFacts(
                identity=row,
                label=labels[row],
                sources=tuple(_facts(source, places) for source in sources),
                config=config,
                details=_details(first),
            )
        )
    return facts


def _facts(source: Source, places: Mapping[str, str | None]) -> SourceFacts:
    made = source.result.provenance
    tasks = {name: score.score for name, score in source.result.tasks.items()}
    checksum = hashlib.sha256(json.dumps(made.data, sort_keys=True).encode()).hexdigest()[:12] if made.data else ""
    run = source.run
    return SourceFacts(
        name=source.name,
        href=link(source.name, places),
        model=shortened(source.result.model),
        run=source.run_name,
        run_href=link(f"{source.run_name}/config.yaml", places) if run else None,
        seed="" if source.seed is None else str(source.seed),
        scores=", ".join(f"{name} {score:.2f}" for name, score in tasks.items()),
        fingerprint=made.config_fingerprint or (run.fingerprint if run else ""),
        code=made.code_version,
        data=f"{counted(len(made.data), 'file')}, {checksum}" + ("" if made.official_data else " (not official)"),
        created=made.created or "",
    )


def _details(source: Source) -> str:
    made = source.result.provenance
    values: dict[str, object] = {
        "model": source.result.model,
        "model_fingerprint": made.model_fingerprint,
        "packages": made.packages,
        "data": made.data,
    }
    if source.run is not None:
        values["run"] = {key: value for key, value in source.run.provenance.items() if key != "packages"}
    return dump_yaml(without_paths(values))
