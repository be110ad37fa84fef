"""What a row of a table is called.

The rule: a run is called by its recipe, followed by the settings in which it differs from the recipe
and by which the rows of that recipe differ from each other (`dalr, pair_every=1`). Where no row has
the recipe's own value of a setting, the value of most results goes without saying (`omitted_defaults`), first of
those of the settings with the most seeds. A run of a sweep is called by its trial (`dalr, trial-0007`,
from its folder `trial-0007-seed-1`), another one with more than `MOST_SETTINGS` such settings by its
folder without the seed. A run whose only step had rate 0 is `untrained`. A model that no run made is
called by its name, a folder by its last parts. Protocol and pooler are added where two rows would
otherwise have one name. `--name KEY=LABEL` overrides it, where KEY is a fingerprint (or its first
digits), a model, a run's folder as the report names it (`runs/dalr-1`), or the name that this rule
gives.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dalr.errors import InputError
from dalr.reports.load.frame import Source
from dalr.reports.load.names import shortened

MOST_SETTINGS = 4
UNTRAINED = "untrained"


def labels(sources: Iterable[Source], overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Row identity → label, no label twice.

    Raises:
        InputError: an override that fits no row.
    """
    members: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        members[source.row].append(source)
    firsts = {row: sources[0] for row, sources in members.items()}
    settings = _settings_labels([one for each in members.values() for one in each])
    names = {row: settings[source.setting] for row, source in firsts.items()}
    names = _disambiguate(names, firsts, lambda source: source.result.protocol)
    names = _disambiguate(names, firsts, lambda source: source.result.pooler or "no pooler")
    names = _disambiguate(names, firsts, _sweep_of)
    names = _disambiguate(names, firsts, lambda source: source.setting[:12])
    return _overridden(names, members, overrides or {})


def omitted_defaults(sources: Iterable[Source]) -> list[str]:
    """A sentence for each recipe whose rows are told apart, on the values that their names leave out."""
    said = []
    for base, members in _by_recipe(sources).items():
        usual = {key: value[0] for key, value in _told_by(members).items() if value is not None}
        if usual:
            words = ", ".join(_shown(usual, list(usual), list(usual)))
            said.append(f"{base}: {words}, where a row's name says nothing else.")
    return said


def _by_recipe(sources: Iterable[Source]) -> dict[str, dict[str, list[Source]]]:
    """Recipe → setting → its results."""
    groups: dict[str, dict[str, list[Source]]] = defaultdict(lambda: defaultdict(list))
    for source in sources:
        groups[_base_name(source)][source.setting].append(source)
    return groups


def _settings_labels(sources: Sequence[Source]) -> dict[str, str]:
    result: dict[str, str] = {}
    for base, members in _by_recipe(sources).items():
        words = _words_of(members) if len(members) > 1 else dict.fromkeys(members, "")
        result |= {setting: f"{base}, {words[setting]}" if words[setting] else base for setting in members}
    return result


def _words_of(members: Mapping[str, Sequence[Source]]) -> dict[str, str]:
    """Setting → what tells it from the others of its recipe; nothing for the one that they differ from."""
    usual = _told_by(members)
    words = {}
    for setting, (first, *_) in members.items():
        values = first.run.settings if first.run else {}
        shown = [key for key in usual if (values.get(key),) != usual[key]]
        few = len(shown) <= MOST_SETTINGS
        words[setting] = _trial(first) or (", ".join(_shown(values, shown, list(usual))) if few else _folder(first))
    return words


def _told_by(members: Mapping[str, Sequence[Source]]) -> dict[str, tuple[Any] | None]:
    """The settings that tell a recipe's own runs (not a sweep's trials) apart, each with the value that
    goes without saying, in a tuple; None where no value does."""
    trained = [one for sources in members.values() for one in sources if one.run and _trial(one) is None]
    flat = {one.setting: one.run.settings for one in trained if one.run}
    return {key: _usual(key, trained) for key in differing_settings(flat.values())}


def _usual(key: str, sources: Sequence[Source]) -> tuple[Any] | None:
    """The recipe's own value where a run has it, else that of most results of the settings with the most
    seeds, else of all; None where no value is either."""
    runs = [one.run for one in sources if one.run]
    own = [run.settings.get(key) for run in runs if run.overrides is not None and key not in run.overrides]
    if own:
        return (own[0],)
    counts = Counter(one.setting for one in sources)
    leading = [one for one in sources if counts[one.setting] == max(counts.values())]
    return _most_common(key, leading) or _most_common(key, sources)


def _most_common(key: str, sources: Sequence[Source]) -> tuple[Any] | None:
    values = [one.run.settings.get(key) for one in sources if one.run]
    counts = Counter(map(repr, values)).most_common(2)
    if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return None
    return next(((value,) for value in values if repr(value) == counts[0][0]), None)


def _base_name(source: Source) -> str:
    if source.run and source.run.untrained:
        return UNTRAINED
    recipe = (source.run.recipe if source.run else None) or source.result.provenance.recipe
    if recipe:
        return Path(recipe).stem if recipe.endswith((".yaml", ".yml")) else Path(recipe).name
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


def _trial(source: Source) -> str | None:
    """What a sweep's run is called after its folder: a trial's final runs are of the same point."""
    name = source.run.folder.name if source.run else ""
    if found := re.fullmatch(r"(?:trial|final)-(\d+)-seed-\d+", name):
        return f"trial-{found[1]}"
    return "the sweep's base" if re.fullmatch(r"final-.+-base-seed-\d+", name) else None


def _sweep_of(source: Source) -> str:
    """The name of the sweep that a run belongs to, from `SWEEP/runs/trial-0007-seed-1`."""
    is_one = source.run is not None and _trial(source) is not None
    return source.run.folder.parent.parent.name if is_one and source.run else "no sweep"


def _folder(source: Source) -> str:
    name = source.run.folder.name if source.run else source.setting[:8]
    return re.sub(r"[-_.]?seed[-_.]?\d+$", "", name) or source.setting[:8]


def _shown(values: Mapping[str, Any], shown: Sequence[str], differing: Sequence[str]) -> list[str]:
    shorts = Counter(key.rsplit(".", 1)[-1] for key in differing)
    words = []
    for key in shown:
        short = key.rsplit(".", 1)[-1]
        value = values.get(key)
        words.append(f"{short if shorts[short] == 1 else key}={plain(value)}")
    return words


def plain(value: Any) -> str:
    """A setting's value as one would write it: `0`, `5e-05`, `null`, a path's last part."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:g}"
    return Path(value).name if isinstance(value, str) and "/" in value else str(value)


def _disambiguate(
    names: dict[str, str], firsts: Mapping[str, Source], trait: Callable[[Source], str]
) -> dict[str, str]:
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


def _overridden(
    names: dict[str, str], members: Mapping[str, Sequence[Source]], overrides: Mapping[str, str]
) -> dict[str, str]:
    renamed = dict(names)
    for key, label in overrides.items():
        rows = [row for row, name in names.items() if key in (row, name)]
        rows = rows or [row for row, sources in members.items() if any(_fits(key, source) for source in sources)]
        if not rows:
            known = ", ".join(sorted(set(names.values())))
            raise InputError(f"--name {key}={label}: no row is called {key!r} (rows: {known})")
        renamed.update(dict.fromkeys(rows, label))
    shared = [label for label, count in Counter(renamed.values()).items() if count > 1]
    if shared:
        raise InputError(f"--name: two rows would be called {shared[0]!r}")
    return renamed


def _fits(key: str, source: Source) -> bool:
    model = source.result.model
    fingerprint = source.run is not None and len(key) >= 6 and source.setting.startswith(key)
    return fingerprint or key in (model, shortened(model), source.run_name)
