"""What a run is: the settings that decide its outcome, and the content of what it reads, never the place
where that lies. A run that is copied or mounted elsewhere with its data is the same run; one changed byte
of what it reads makes it another.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from dalr.checksums import checksum_of, checksums_of
from dalr.config.keys import PATH_KEYS
from dalr.config.overrides import validated
from dalr.config.schema import DataConfig, RunConfig
from dalr.data.features.needs import needs_of
from dalr.errors import InputError
from dalr.evaluation.plan import own_tasks
from dalr.evaluation.tasks import FileExpectation, StsTask, Task, files_of, find_task
from dalr.extensions import Kind, modules_of
from dalr.files import digest_of, existing_file
from dalr.losses.terms import TERMS
from dalr.model.checksum import model_checksum

SCHEMA = 2
"""The schema of what runs and checkpoints write about their identity. Schema 1 knew paths, and the checksums of
the data's files."""

NOT_OUTCOME = (
    "evaluation.tasks",
    "train.keep",
    "train.log_every",
    "train.checkpoint_every",
    "train.checkpoint_minutes",
    "train.activation_checkpointing",
)
"""Settings that decide nothing of the outcome: what is scored afterwards, what is kept and noted, and memory."""

IMPORT = "import."
"""Before the names of the user's modules, among the contents."""

UNKNOWN = "unknown"
"""The content of what schema 1 knew the place of alone."""


@dataclass(frozen=True)
class Identity:
    """A run's config, and the content behind each of its keys that names something to read: `contents`, from
    dotted keys to hex digests."""

    config: RunConfig
    contents: Mapping[str, str]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides the outcome, by dotted key: values that are not the default, and contents."""
        parts = {name: getattr(self.config, name) for name in RunConfig.model_fields}
        values = {name: part.model_dump(mode="json", exclude_defaults=True) for name, part in parts.items()}
        left_out = {*NOT_OUTCOME, *PATH_KEYS}
        plain = {key: value for key, value in flat_values(values) if key not in left_out}
        return {**plain, **self.contents}

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with everything that decides the outcome."""
        return digest_of(self.settings)

    @property
    def setting(self) -> str:
        """The fingerprint without the seed: the same for all seeds of one setting."""
        return digest_of({key: value for key, value in self.settings.items() if key != "train.seed"})

    def differences(self, saved: Mapping[str, Any], notes: Mapping[str, Any]) -> list[str]:
        """The words of `differing`."""
        return list(self.differing(saved, notes).values())

    def differing(self, saved: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[str, str]:
        """In what a saved config differs from this one: by dotted key, in words that begin with it. `notes` are what
        was written beside it: `schema` and `contents`, or, by schema 1, the checksums `data` of the data's files.

        Raises:
            InputError: the saved values are not a valid config.
        """
        config = validated(saved)
        before, now = dict(flat_values(config.dump())), dict(flat_values(self.config.dump()))
        if notes.get("schema", 1) >= SCHEMA:
            contents = notes["contents"]
        else:  # of what it has no checksum, it knew the place
            same = {key: value for key, value in self.contents.items() if before.get(key) == now.get(key)}
            noted = notes.get("data") or {}
            contents = {key: noted.get(key, same.get(key, UNKNOWN)) for key in self.contents}
        old, new = Identity(config, contents).settings, self.settings
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]

        def difference(key: str) -> str:
            if key.startswith(IMPORT):
                return f"{key.removeprefix(IMPORT)}.py: the module holds something else than it did"
            if contents.get(key, UNKNOWN) != UNKNOWN and key in self.contents:
                known = "it" if before[key] == now[key] else before[key]
                return f"{key}: {now[key]} holds something else than {known} did"
            return f"{key} was {before.get(key)!r}, is {now.get(key)!r}"

        return {key: difference(key) for key in keys}


def flat_values(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """A nested config as (dotted key, value) pairs; elements of a list of parts are keyed by index."""
    if isinstance(values, Mapping):
        return [pair for key, value in values.items() for pair in flat_values(value, f"{prefix}{key}.")]
    if isinstance(values, list) and values and isinstance(values[0], Mapping):
        return [pair for index, value in enumerate(values) for pair in flat_values(value, f"{prefix}{index}.")]
    return [(prefix[:-1], values)]


def identity_of(config: RunConfig) -> Identity:
    """The identity of a config with absolute paths.

    Raises:
        InputError: something that it names is missing; the message has the key.
    """
    return Contents().identity(config)


class Contents:
    """The contents of many configs, each file looked at once: a sweep's trials read the same data."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], str] = {}

    def identity(self, config: RunConfig) -> Identity:
        """See `identity_of`."""
        return Identity(config, {key: self._content(key, names, read) for key, names, read in _read_by(config)})

    def _content(self, key: str, names: tuple[str, ...], read: Callable[[], str]) -> str:
        if names not in self._known:
            try:
                self._known[names] = read()
            except InputError as error:
                raise InputError(str(error) if key in str(error) else f"{key}: {error}") from error
            except OSError as error:
                raise InputError(f"{key}: cannot read {error.filename}: {error.strerror}") from error
        return self._known[names]


Reading = tuple[str, tuple[str, ...], Callable[[], str]]
"""A key, the names that decide what is read for it, and what reads it: a digest."""


def _read_by(config: RunConfig) -> Iterator[Reading]:
    """What a run of this config reads."""
    data, evaluation, image = config.data, config.evaluation, config.teachers.image
    models = {"model.student": config.model.student}
    if config.model.init is not None:
        models["model.init"] = config.model.init
    models |= {f"teachers.text.{i}.model": teacher.model for i, teacher in enumerate(config.teachers.text)}
    for key, name in models.items():
        yield key, ("model", name), partial(model_checksum, name)
    if image is not None and Path(image.weights).is_file():
        yield "teachers.image.weights", ("data", image.weights), partial(checksum_of, image.weights)
    for name, module in modules_of(_named(config)).items():
        yield f"{IMPORT}{name}", ("import", module.sha256), partial(str, module.sha256)
    used: list[str] = []
    if data.pair_every != 1:
        used.append("text")
    if data.pair_every is not None:
        used += ["captions", "image_features", "image_ids", "caption_features"]
    for name in used:
        path = getattr(data, name)
        if path is not None:
            key = f"data.{name}"
            yield key, ("data", path), partial(_content_of, path, key)
    made = "captions" in used and data.image_features is None and needs_of(config.objective).images
    if made and data.images is not None and data.captions is not None:
        names = ("images", data.images, data.captions, data.image_ids or "")
        yield "data.images", names, partial(_pictures, data)
    own = {task.name: task for task in own_tasks(evaluation.custom)}.get(evaluation.metric.rpartition(".")[0])
    if own is not None:
        where = ("custom", str(evaluation.custom), evaluation.metric)
        yield "evaluation.custom", where, partial(_own_evaluation, own, evaluation.metric)
    elif evaluation.data is not None:
        where = ("evaluation", evaluation.data, evaluation.metric)
        yield "evaluation.data", where, partial(_evaluation, Path(evaluation.data), evaluation.metric)


def _named(config: RunConfig) -> dict[Kind, list[str]]:
    """What a config names that a user's module may have added, and that decides the outcome."""
    return {
        "term": [name for name in TERMS if config.objective.active(name)],
        "task": [config.evaluation.metric.rpartition(".")[0]],
        "text_teacher": [teacher.model for teacher in config.teachers.text],
        "pooler": [teacher.pooler for teacher in config.teachers.text],
        "image_teacher": [config.teachers.image.model] if config.teachers.image is not None else [],
    }


def _content_of(path: str, key: str) -> str:
    """The sha256 of a file; of a folder of captions, that of its text files (Flickr30k Entities)."""
    if key != "data.captions" or not Path(path).is_dir():
        return checksum_of(existing_file(path, key))
    files = sorted(Path(path).rglob("*.txt"))
    names = [file.relative_to(path).as_posix() for file in files]
    return _digest_of_files(zip(names, checksums_of(files), strict=True))


def _pictures(data: DataConfig) -> str:
    """The digest of the pictures that the captions name, in their order."""
    from dalr.data.corpora.sources import read_captions
    from dalr.data.features.pictures import image_files, image_names

    names = image_names(data, read_captions(str(data.captions)))
    files = image_files(Path(str(data.images)), names)
    return _digest_of_files(zip(map(str, range(len(files))), checksums_of(files), strict=True))


def _evaluation(folder: Path, metric: str) -> str:
    """The digest of the files of the metric's split."""
    names = sorted(file.path for file in _files_read(find_task(metric.rpartition(".")[0]), metric))
    missing = next((folder / name for name in names if not (folder / name).is_file()), None)
    if missing is not None:
        raise InputError(f"{missing}: no such file; `dalr data check {folder}` says what is missing")
    return _digest_of_files(zip(names, checksums_of([folder / name for name in names]), strict=True))


def _own_evaluation(task: Task, metric: str) -> str:
    """The digest of the files of a metric of the user's own, by name, wherever they lie."""
    paths = sorted(existing_file(file.path, "evaluation.custom") for file in _files_read(task, metric))
    return _digest_of_files(zip([path.name for path in paths], checksums_of(paths), strict=True))


def _files_read(task: Task, metric: str) -> list[FileExpectation]:
    """The files of the metric's split; a transfer task is learned on its other splits."""
    split = metric.rpartition(".")[2]
    return files_of(task, [split] if isinstance(task, StsTask) and split in task.splits else None)


def _digest_of_files(files: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for name, checksum in files:
        digest.update(f"{name}:{checksum}\n".encode())
    return digest.hexdigest()
