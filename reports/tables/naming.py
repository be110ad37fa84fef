"""Labels of rows: made different where rows share one, and found again by what a person types."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from dalr.reports.load.frame import Source
from dalr.reports.load.names import one_line, parts_of, shortened

LONGEST = 100  # characters of a label; a table has no room for more
MOST_LISTED = 12  # rows that an error names

Trait = Callable[[Source], str]

EVALUATION_TRAITS: tuple[Trait, ...] = (
    lambda source: source.result.protocol,
    lambda source: source.result.pooler or "no pooler",
)
"""What two rows of one model differ in."""


def trial_of(source: Source) -> str | None:
    """What a sweep's run is called after its folder, `trial-0007` for `trial-0007-seed-1`: a trial's final
    runs are of the same point. None for other runs."""
    name = source.run.folder.name if source.run else ""
    if match := re.fullmatch(r"(?:trial|final)-(\d+)-seed-\d+", name):
        return f"trial-{match[1]}"
    return "the sweep's base" if re.fullmatch(r"final-.+-base-seed-\d+", name) else None


def without_seed(folder: str) -> str:
    """The name of a run's folder without the seed at its end: `dalr` for `dalr-seed-3`."""
    return re.sub(r"[-_.]?seed[-_.]?\d+$", "", folder) or folder


def readable(label: str) -> str:
    """A label on one line, not empty and not too long."""
    label = one_line(label) or "unnamed"
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def disambiguate(
    names: Mapping[str, str], firsts: Mapping[str, Source], traits: Sequence[Trait] | None = None
) -> dict[str, str]:
    """Row → label, where rows that share one get what they differ in: each of `traits` in turn; without
    `traits` all that is known of a row, so that no two labels are the same. `firsts` are the rows' first
    results."""
    names = dict(names)
    for trait in traits if traits is not None else (*EVALUATION_TRAITS, _sweep):
        for row, told in _told_by(trait, names, firsts).items():
            names[row] = f"{names[row]} ({readable(told)})"
    if traits is None:
        for rows in _sharing(names):
            names |= _lengthened(rows, names, firsts)
        for trait in (_digits, _row_digits):
            for row, told in _told_by(trait, names, firsts).items():
                names[row] = f"{names[row]} ({told})"
    return names


def _sharing(names: Mapping[str, str]) -> list[list[str]]:
    """The rows that share a label, group by group."""
    rows = defaultdict(list)
    for row, name in names.items():
        rows[name].append(row)
    return [group for group in rows.values() if len(group) > 1]


def _told_by(trait: Trait, names: Mapping[str, str], firsts: Mapping[str, Source]) -> dict[str, str]:
    """Row → trait, of the rows that share a label and differ in the trait."""
    groups = [{row: trait(firsts[row]) for row in rows} for rows in _sharing(names)]
    return {row: told for group in groups if len(set(group.values())) > 1 for row, told in group.items()}


def _lengthened(rows: Sequence[str], names: Mapping[str, str], firsts: Mapping[str, Source]) -> dict[str, str]:
    """The rows with as many last parts of their paths as tell most of them apart."""
    parts = {row: _path(firsts[row]) for row in rows}
    ends = [
        {row: "/".join(parts[row][-depth:]) for row in rows} for depth in range(1, 1 + max(map(len, parts.values())))
    ]
    best = max(ends, key=lambda paths: len(set(paths.values())), default={})
    if len(set(best.values())) < 2:
        return {}
    return {
        row: readable(path if path.endswith(f"/{names[row]}") else f"{names[row]} ({path})" if path else names[row])
        for row, path in best.items()
    }


def _path(source: Source) -> list[str]:
    """Where a row's run or model lies, as far as a report may say so."""
    if source.run_name is None:
        return parts_of(source.result.model)
    *above, folder = source.run_name.split("/")
    return [*above, without_seed(folder)]


def _sweep(source: Source) -> str:
    """The name of the sweep that a run belongs to, from `SWEEP/runs/trial-0007-seed-1`."""
    return source.run.folder.parent.parent.name if source.run and trial_of(source) else "no sweep"


def _digits(source: Source) -> str:
    """The first digits of a run's settings or of a model's weights."""
    return (source.setting if source.run else source.result.provenance.model_fingerprint or "")[:8] or "unknown weights"


def _row_digits(source: Source) -> str:
    return hashlib.sha256(source.row.encode()).hexdigest()[:8]


def rows_called(word: str, named: Mapping[str, str], sources: Iterable[Source]) -> list[str]:
    """The rows that a person may mean by `word`: those of this label or identity; else those whose label is
    `word` with an addition that tells rows apart (`word (fast)`, `folder/word`); else those of this model or
    run, by its name, its folder or the first six or more digits of its fingerprint; else those whose label
    differs in capitals and spaces only."""
    loosely = "".join(word.casefold().split())
    behind: dict[str, set[str | None]] = defaultdict(set)
    for source in sources:
        behind[source.row] |= {source.result.model, shortened(source.result.model), source.run_name}
        if source.run:
            behind[source.row] |= {source.run.folder.name, *(source.setting[:n] for n in range(6, 17))}
    meanings: tuple[Callable[[str], bool], ...] = (
        lambda row: word in (row, named[row]),
        lambda row: named[row].startswith(f"{word} (") or named[row].endswith(f"/{word}"),
        lambda row: word in behind[row],
        lambda row: "".join(named[row].casefold().split()) == loosely,
    )
    return next((rows for meaning in meanings if (rows := [row for row in named if meaning(row)])), [])


def listed(names: Iterable[str]) -> str:
    """`rows: a, b and 3 more`, for an error."""
    known = sorted(set(names))
    more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    return f"rows: {', '.join(known[:MOST_LISTED])}{more}"
