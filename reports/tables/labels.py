"""What a row of a table is called.

A run is called by its recipe and by the settings in which it differs from the recipe's defaults. An
example: five runs of the recipe `dalr`, whose own values are pair_every=1 and learning_rate=0.0003, and a
model from the Hub.

    run          seed  pair_every  learning_rate  batch_size    label
    runs/a       1     1           0.0003         32            dalr
    runs/b       2     1           0.0003         32            dalr
    runs/c       1     2           0.0003         32            dalr, pair_every=2
    runs/d       1     2           5e-05          32            dalr, pair_every=2, learning_rate=5e-05
    (none: the result's model is sentence-transformers/minilm)  sentence-transformers/minilm

1. `runs/a` and `runs/b` have one setting and so are one row: only their seeds differ.
2. The rows of `dalr` differ in `pair_every` and `learning_rate`. `batch_size` is the same in all, so no
   label mentions it.
3. Each of the two has a default, which labels leave out: the recipe's own value where one of the runs has
   it, as here; else the value of most results, first of those of the settings with the most seeds. Where
   no value is the most common one, there is no default, and every label has its value. `omitted_defaults`
   says what the defaults are.

Some rows are called otherwise: a run of a sweep's arm by the arm and the searched values (`images,
pair_every=6`); another run of a sweep by its trial (`dalr, trial-0007`, from its folder
`trial-0007-seed-1`); a run with more than `MOST_SETTINGS` settings to mention by its folder without the
seed; a run whose only step had rate 0 `untrained`; a model that no run made by its name, or by the last
part of its path. Rows that would share a label get what they differ in: protocol, pooler, sweep, more
parts of their paths (`x/best` and `y/best`), the first digits of a fingerprint.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dalr.errors import InputError, argument
from dalr.reports.load.frame import Source
from dalr.reports.load.names import one_line, parts_of, plain
from dalr.reports.tables.naming import (
    EVALUATION_TRAITS,
    disambiguate,
    listed,
    readable,
    rows_called,
    trial_of,
    without_seed,
)

MOST_SETTINGS = 4
UNTRAINED = "untrained"
_NO_DEFAULT = object()


def labels(sources: Iterable[Source], overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Row identity → label, no label twice. `overrides` maps what `rows_called` understands to labels; where
    several rows share such a label, as those of one run under two protocols, what they differ in is added.

    Raises:
        InputError: an override that fits no row, or a label that two rows would have.
    """
    sources = list(sources)
    firsts: dict[str, Source] = {}
    for source in sources:
        firsts.setdefault(source.row, source)
    of_settings = _labels_of_settings(sources)
    named = disambiguate({row: of_settings[first.setting] for row, first in firsts.items()}, firsts)
    renamed = dict(named)
    for key, label in (overrides or {}).items():
        rows = rows_called(key, named, sources)
        if not rows:
            raise InputError(
                f"{argument('names', option='name')} {key}={label}: no row is called {key!r} ({listed(named.values())})"
            )
        renamed |= disambiguate(dict.fromkeys(rows, one_line(label)), firsts, EVALUATION_TRAITS)
    shared = [label for label, count in Counter(renamed.values()).items() if count > 1]
    if shared:
        rows = [row for row in renamed if renamed[row] == shared[0]]
        raise InputError(
            f"{argument('names', option='name')}: two rows would be called {shared[0]!r}: {named[rows[0]]} and "
            f"{named[rows[1]]}"
        )
    return renamed


def omitted_defaults(sources: Iterable[Source]) -> list[str]:
    """A sentence for each recipe whose rows have labels of their own, on the defaults that these leave out."""
    sentences = []
    for recipe, members in _by_recipe(sources).items():
        defaults = {key: value for key, value in _defaults(members).items() if value is not _NO_DEFAULT}
        if defaults:
            values = ", ".join(_assignments(defaults, list(defaults), list(defaults)))
            sentences.append(f"{recipe}: {values}, where a row's name says nothing else.")
    return sentences


def differing_settings(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The dotted keys whose values are not the same in all rows, in the order of the first row."""
    rows = list(rows)
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if any(row.get(key) != rows[0].get(key) for row in rows)]


def _by_recipe(sources: Iterable[Source]) -> dict[str, dict[str, list[Source]]]:
    """Recipe (or what else the row's label begins with) → setting → its results."""
    groups: dict[str, dict[str, list[Source]]] = defaultdict(lambda: defaultdict(list))
    for source in sources:
        groups[readable(_base_name(source))][source.setting].append(source)
    return groups


def _base_name(source: Source) -> str:
    run = source.run
    if run and run.untrained:
        return UNTRAINED
    if recipe := (run.recipe if run else None) or source.result.provenance.recipe:
        return Path(recipe).stem if recipe.endswith((".yaml", ".yml")) else Path(recipe).name
    if run:
        return run.folder.name
    model = source.result.model
    parts = parts_of(model)
    if not parts or not (model.startswith(("/", "~", ".")) or len(parts) > 2):
        return model  # a name on the Hub, as it is
    return "/".join(parts[-2:] if parts[-1] == "model" else parts[-1:])


def _labels_of_settings(sources: Sequence[Source]) -> dict[str, str]:
    """Setting → label, as far as recipe and settings tell."""
    result: dict[str, str] = {}
    for recipe, members in _by_recipe(sources).items():
        defaults = _defaults(members) if len(members) > 1 else {}
        for setting, (first, *_) in members.items():
            if arm := next((source.arm for source in members[setting] if source.arm), None):
                result[setting] = readable(arm)
                continue
            details = _details(first, defaults) if len(members) > 1 else ""
            result[setting] = readable(f"{recipe}, {details}" if details else recipe)
    return result


def _defaults(members: Mapping[str, Sequence[Source]]) -> dict[str, Any]:
    """For each setting in which a recipe's own runs (not a sweep's trials) differ, the value that labels
    leave out, or `_NO_DEFAULT`."""
    sources = [source for results in members.values() for source in results if source.run and trial_of(source) is None]
    flat = {source.setting: source.run.settings for source in sources if source.run}
    return {key: _default(key, sources) for key in differing_settings(flat.values())}


def _default(key: str, sources: Sequence[Source]) -> Any:
    runs = [source.run for source in sources if source.run]
    recipe_s_own = [run.settings.get(key) for run in runs if run.overrides is not None and key not in run.overrides]
    if recipe_s_own:
        return recipe_s_own[0]
    results = Counter(source.setting for source in sources)
    with_most_seeds = [source for source in sources if results[source.setting] == max(results.values())]
    most_common = _most_common(key, with_most_seeds)
    return _most_common(key, sources) if most_common is _NO_DEFAULT else most_common


def _most_common(key: str, sources: Sequence[Source]) -> Any:
    values = {repr(value): value for source in sources if source.run for value in [source.run.settings.get(key)]}
    first, *others = Counter(repr(source.run.settings.get(key)) for source in sources if source.run).most_common(2)
    return _NO_DEFAULT if others and others[0][1] == first[1] else values[first[0]]


def _details(source: Source, defaults: Mapping[str, Any]) -> str:
    """What tells a run from the others of its recipe; nothing for the one that has all defaults."""
    if trial := trial_of(source):
        return trial
    settings = source.run.settings if source.run else {}
    keys = [key for key, default in defaults.items() if settings.get(key) != default]
    if len(keys) > MOST_SETTINGS:
        return without_seed(source.run.folder.name) if source.run else ""
    return ", ".join(_assignments(settings, keys, list(defaults)))


def _assignments(settings: Mapping[str, Any], keys: Sequence[str], among: Sequence[str]) -> list[str]:
    """`learning_rate=5e-05` for each key; the whole dotted key where two `among` all end alike."""
    endings = Counter(key.rsplit(".", 1)[-1] for key in among)
    short = {key: key.rsplit(".", 1)[-1] for key in keys}
    return [f"{short[key] if endings[short[key]] == 1 else key}={plain(settings.get(key))}" for key in keys]
