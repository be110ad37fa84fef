"""What a row of a table is called.

The rule: a run is called by its recipe, followed by the settings in which the rows of that recipe
differ (`dalr, pair_every=1`). Where more than three settings differ they would hide the name: a run
of a sweep is then called by its trial (`dalr, trial-0007`, from its folder `trial-0007-seed-1`),
another by the first digits of its fingerprint. A model that no run made is called by its name, a
folder by its last parts. Protocol and pooler are added where two rows would otherwise have one name.
`--name KEY=LABEL` overrides it, where KEY is a fingerprint (or its first digits), a model, or the
name this rule gives.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dalr.errors import InputError
from reports.load import Source

MOST_SETTINGS = 3


def labels(sources: Iterable[Source], overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Row identity → label, no label twice.

    Raises:
        InputError: an override that fits no row.
    """
    firsts: dict[str, Source] = {}
    for source in sources:
        firsts.setdefault(source.row, source)
    settings = _settings_labels(firsts.values())
    names = {row: settings[source.setting] for row, source in firsts.items()}
    names = _told_apart(names, firsts, lambda source: source.result.protocol)
    names = _told_apart(names, firsts, lambda source: source.result.pooler or "no pooler")
    names = _told_apart(names, firsts, lambda source: source.setting[:12])
    return _overridden(names, firsts, overrides or {})


def _settings_labels(sources: Iterable[Source]) -> dict[str, str]:
    groups: dict[str, dict[str, Source]] = defaultdict(dict)
    for source in sources:
        groups[_base_name(source)].setdefault(source.setting, source)
    result = {}
    for base, members in groups.items():
        flat = {setting: one.run.settings if one.run else {} for setting, one in members.items()}
        differing = differing_settings(flat.values())
        for setting, values in flat.items():
            words = _shown(values, differing) if len(differing) <= MOST_SETTINGS else [_trial(members[setting])]
            result[setting] = ", ".join([base, *words])
    return result


def _base_name(source: Source) -> str:
    recipe = (source.run.recipe if source.run else None) or source.result.provenance.recipe
    if recipe:
        return Path(recipe).stem if recipe.endswith((".yaml", ".yml")) else recipe
    if source.run:
        return source.run.folder.name
    model = source.result.model.rstrip("/")
    parts = Path(model).parts
    if not parts:
        return model
    is_folder = Path(model).is_absolute() or len(parts) > 2
    return "/".join(parts[-2:]) if is_folder and parts[-1] == "model" else (parts[-1] if is_folder else model)


def differing_settings(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The dotted keys whose values are not the same in all rows, in the order of the first row."""
    rows = list(rows)
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if any(row.get(key) != rows[0].get(key) for row in rows)]


def _trial(source: Source) -> str:
    found = re.fullmatch(r"(.+)-seed-\d+", source.run.folder.name) if source.run else None
    return found[1] if found else source.setting[:8]


def _shown(values: Mapping[str, Any], differing: list[str]) -> list[str]:
    shorts = Counter(key.rsplit(".", 1)[-1] for key in differing)
    shown = []
    for key in differing:
        short = key.rsplit(".", 1)[-1]
        value = values.get(key)
        text = "null" if value is None else Path(value).name if isinstance(value, str) and "/" in value else value
        shown.append(f"{short if shorts[short] == 1 else key}={text}")
    return shown


def _told_apart(names: dict[str, str], firsts: Mapping[str, Source], trait: Any) -> dict[str, str]:
    """Adds `trait` to labels that several rows share, where it tells them apart."""
    rows_of: dict[str, list[str]] = defaultdict(list)
    for row, name in names.items():
        rows_of[name].append(row)
    told = dict(names)
    for name, rows in rows_of.items():
        traits = {row: trait(firsts[row]) for row in rows}
        if len(rows) > 1 and len(set(traits.values())) > 1:
            told.update({row: f"{name} ({traits[row]})" for row in rows})
    return told


def _overridden(names: dict[str, str], firsts: Mapping[str, Source], overrides: Mapping[str, str]) -> dict[str, str]:
    renamed = dict(names)
    for key, label in overrides.items():
        rows = [row for row, name in names.items() if _fits(key, name, firsts[row])]
        if not rows:
            known = ", ".join(sorted(set(names.values())))
            raise InputError(f"--name {key}={label}: no row is called {key!r} (rows: {known})")
        renamed.update(dict.fromkeys(rows, label))
    shared = [label for label, count in Counter(renamed.values()).items() if count > 1]
    if shared:
        raise InputError(f"--name: two rows would be called {shared[0]!r}")
    return renamed


def _fits(key: str, name: str, source: Source) -> bool:
    fingerprint = source.run is not None and len(key) >= 6 and source.setting.startswith(key)
    return key in (name, source.result.model) or fingerprint
