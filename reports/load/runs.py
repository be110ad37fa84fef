"""A training run as its folder tells it: config, provenance, identity apart from the seed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dalr import yaml_text
from dalr.errors import InputError
from dalr.files import digest_of
from dalr.reading import parse_json

# These keys do not decide a run's outcome: where data and features lie, what is scored after its end, which
# checkpoints it keeps. The seed decides it, but a row of a table is the mean over seeds.
NOT_SETTINGS = (
    "data.root",
    "data.store",
    "evaluation.tasks",
    "train.keep",
    "train.checkpoint_every",
    "train.activation_checkpointing",
    "train.seed",
)

EXTENDED = "train.extended"
"""A setting of the report's own: the lengths that a run had before it was extended (`train.stages`)."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run. `settings` is what decides its outcome, without the seed: the flattened config, with files
    by their names instead of their places; `fingerprint` is 16 hex digits of what the run was made from, the
    same for all seeds of one setting, wherever it lies."""

    folder: Path
    config: dict[str, Any]
    provenance: dict[str, Any]
    settings: dict[str, Any]
    fingerprint: str

    @property
    def seed(self) -> int | None:
        """The training seed."""
        seed = self.config.get("train", {}).get("seed", self.provenance.get("seed"))
        return seed if isinstance(seed, int) else None

    @property
    def recipe(self) -> str | None:
        """The recipe's name, where the provenance has one."""
        recipe = self.provenance.get("recipe")
        return str(recipe) if recipe else None

    @property
    def config_fingerprint(self) -> str | None:
        """The fingerprint of the run, where the provenance has one."""
        fingerprint = self.provenance.get("config_fingerprint")
        return str(fingerprint) if fingerprint else None

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The same, and those that earlier versions gave it; empty where the provenance has none."""
        return fingerprints_of(self.provenance)

    @property
    def overrides(self) -> dict[str, Any] | None:
        """The settings that differ from the recipe's, by dotted key; None where the run did not say."""
        overrides = self.provenance.get("overrides")
        return overrides if isinstance(overrides, dict) else None

    @property
    def checksums(self) -> dict[str, str]:
        """The digest of each file, folder and model that the run learned from, by its config key, as far as it
        wrote them down (earlier versions: of files alone)."""
        data = self.provenance.get("contents", self.provenance.get("data"))
        return {str(key): str(value) for key, value in data.items()} if isinstance(data, dict) else {}

    @property
    def trained_on(self) -> tuple[int, int] | None:
        """Optimizer steps done and the batch size; None where the run does not say."""
        train = self.config.get("train", {})
        attempts = self.provenance.get("attempts") or [{}]
        steps, batch = attempts[-1].get("end_step") or train.get("steps"), train.get("batch_size")
        return (steps, batch) if isinstance(steps, int) and isinstance(batch, int) else None

    @property
    def untrained(self) -> bool:
        """Whether its only step was a warm-up's first, which has rate 0: it is the student as it was."""
        steps, warmup = self.config.get("train", {}).get("steps"), self.config.get("optim", {}).get("warmup_steps")
        return steps == 1 and isinstance(warmup, int) and warmup >= 1


def fingerprints_of(notes: Mapping[str, Any]) -> tuple[str, ...]:
    """The names by which results know the run with this provenance."""
    names = [notes.get("config_fingerprint"), *(notes.get("former_fingerprints") or ())]
    return tuple(str(name) for name in names if name)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        InputError: unreadable, not YAML, or not a mapping; names the file.
    """
    values = yaml_text.read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected keys and values")
    return values


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an InputError that names the file."""
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object")
    return values


def _without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    """The values without empty parts, which say what missing ones say."""
    return {key: value for key, value in values.items() if value is not None}


def expect(path: Path, values: Mapping[str, Any], kind: type, *keys: str) -> None:
    """Refuses a file's values where one of `keys` is there and is of another kind.

    Raises:
        InputError: names the file and the key.
    """
    for key in keys:
        if values.get(key) is not None and not isinstance(values[key], kind):
            what = "keys and values" if kind is dict else "a list"
            raise InputError(f"{path}: {key}: expected {what}, not {values[key]!r:.40}")


def read_run(folder: Path) -> Run:
    """The run in `folder`, from config.yaml and, where it is there, provenance.json.

    Raises:
        InputError: either file cannot be read.
    """
    path = folder / "provenance.json"
    config = _without_nulls(read_yaml(folder / "config.yaml"))
    provenance = _without_nulls(read_json(path)) if path.exists() else {}
    expect(folder / "config.yaml", config, dict, "model", "data", "evaluation", "objective", "optim", "train")
    expect(folder / "config.yaml", config.get("objective") or {}, dict, "weights")
    expect(path, provenance, dict, "data", "overrides", "packages")
    expect(path, provenance, list, "attempts", "former_fingerprints")
    for attempt in provenance.get("attempts") or ():
        if not isinstance(attempt, dict):
            raise InputError(f"{path}: attempts: expected a list of keys and values")
    settings = settings_of(config)
    return Run(
        folder=folder,
        config=config,
        provenance=provenance,
        settings=settings,
        fingerprint=_fingerprint(provenance, settings),
    )


def settings_of(config: dict[str, Any], names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The config as dotted keys, without what decides no outcome. A file stands by its name, which says
    the same on every machine, or as `names` calls it (by dotted key)."""
    flat = {".".join(path): value for path, value in _flat(_with_stages_in_words(config), ())}
    stand_ins = names or {}
    return {key: stand_ins.get(key, file_name(value)) for key, value in flat.items() if key not in NOT_SETTINGS}


def _with_stages_in_words(config: dict[str, Any]) -> dict[str, Any]:
    """The config with the lengths that an extended run had before as one setting, `60 of 100 steps`; of another run
    without the key, which earlier versions did not have."""
    train = config.get("train")
    if not isinstance(train, dict) or "stages" not in train:
        return config
    words = [
        f"{stage.get('until')} of {stage[unit]} {unit}"
        for stage in train["stages"] or ()
        for unit in ("steps", "epochs")
        if isinstance(stage, dict) and stage.get(unit)
    ]
    rest = {key: value for key, value in train.items() if key != "stages"}
    return {**config, "train": {**rest, **({"extended": "; ".join(words)} if words else {})}}


def file_name(value: Any) -> Any:
    """The name of the file or folder that an absolute path leads to; of a run's model, the run's too.
    Other values as they are."""
    if not (isinstance(value, str) and value.startswith(("/", "~"))):
        return value
    path = Path(value)
    return f"{path.parent.name}/{path.name}" if path.name == "model" else path.name


def disambiguate(runs: Sequence[Run]) -> list[Run]:
    """The runs with the same names for the same files: files that differ in their checksums get the first
    digits behind a name that they share, and one file is called the same by all runs, whatever each
    of them called it. A key that an older version's runs lack tells nothing where all others agree."""
    called: dict[str, set[str]] = defaultdict(set)  # checksum -> names
    sums: dict[str, set[str]] = defaultdict(set)  # name -> checksums
    for run in runs:
        for key, checksum in run.checksums.items():
            name = run.settings.get(key)
            if isinstance(name, str):
                called[checksum].add(name)
    first = {checksum: min(names) for checksum, names in called.items()}
    for checksum, name in first.items():
        sums[name].add(checksum)
    words = {checksum: f"{name}@{checksum[:8]}" if len(sums[name]) > 1 else name for checksum, name in first.items()}
    named = [
        settings_of(run.config, {key: words[checksum] for key, checksum in run.checksums.items() if checksum in words})
        for run in runs
    ]
    new = _unknown_to_some(named)
    settled = [{key: value for key, value in settings.items() if key not in new} for settings in named]
    return [
        replace(run, settings=settings, fingerprint=_fingerprint(run.provenance, settings))
        for run, settings in zip(runs, settled, strict=True)
    ]


def _unknown_to_some(settings: Sequence[Mapping[str, Any]]) -> set[str]:
    """The keys that not all have, though a config is always written whole, and whose values agree. (A
    teacher's keys are there or not as it is itself; so is the one that says that a run was extended.)"""
    values: dict[str, list[Any]] = defaultdict(list)
    for of_run in settings:
        for key, value in of_run.items():
            if not key.startswith(("teachers.", EXTENDED)):
                values[key].append(value)
    return {key for key, held in values.items() if len(held) < len(settings) and held.count(held[0]) == len(held)}


def _flat(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, (*path, str(name)))
    elif isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value):
        for index, inner in enumerate(value):
            yield from _flat(inner, (*path, str(index)))
    else:
        yield path, value


def _fingerprint(provenance: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The setting's fingerprint as the run wrote it. Earlier versions wrote none: for their runs it is a hash of the
    settings. They cannot be migrated, because the real one hashes the content of data and models, which a report
    does not have, and which may be gone."""
    if "setting_fingerprint" in provenance:
        return str(provenance["setting_fingerprint"])
    return digest_of(settings)
