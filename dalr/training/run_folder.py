"""A run's folder: what lies in it, and how it is opened for a first or a further attempt."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dalr.config.loading import load_recipe
from dalr.config.overrides import to_yaml, validated, with_absolute_paths, with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError, argument
from dalr.extensions import checksums
from dalr.files import (
    locked,
    remove_leftovers,
    system_errors_named,
    writable_folder,
    write_json,
    write_text,
)
from dalr.identity import SCHEMA, Identity, flat_values
from dalr.metrics_log import read_log
from dalr.provenance import code_version, machine, package_versions
from dalr.reading import read_json
from dalr.results import Provenance
from dalr.training.checkpoint_files import quarantine, steps_saved
from dalr.training.extension import check_longer, continues, extended, is_length_key, length_of, note_of
from dalr.yaml_text import parse_yaml, read_yaml

LOCK_SECONDS = 120.0
"""How long an attempt waits for another one to leave the folder. A lost machine's lock on NFS is freed
after its lease, 90 s by default."""


@dataclass(frozen=True)
class RunFolder:
    """`config.yaml`, `provenance.json`, `metrics.jsonl`, `checkpoints/`, `model/`, `results/`.

    `display_name` is where the run is kept, if `path` is a copy of it on this machine.
    """

    path: Path
    display_name: str | None = None

    @property
    def name(self) -> str:
        """What messages and results call the run."""
        return self.display_name or str(self.path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def results(self) -> Path:
        return self.path / "results"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    def last_step(self) -> int:
        """The step of the newest checkpoint; 0 where there is none."""
        return max(steps_saved(self.checkpoints), default=0)

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other attempts out. When a driver is killed its worker lives on for a moment, and two
        writers would mix their lines.

        Raises:
            Failed: another process is still training here after two minutes.
        """
        return locked(self.path / ".attempt.lock", seconds=LOCK_SECONDS, what=f"the run in {self.name}")

    def check(self, identity: Identity, *, extend: bool = False) -> None:
        """Refuses a folder that holds another run, naming the keys that differ; `extend`: a shorter one is none."""
        written = self.path / "config.yaml"
        if written.is_file():
            refuse_another(written.read_text(encoding="utf-8"), self.notes(), self.name, identity, extend=extend)

    def extended(self, config: RunConfig) -> RunConfig:
        """The config of the run in this folder when it goes on to the length of `config`: see
        `dalr.training.extension`.

        Raises:
            InputError: it would be shorter, or is one of a sweep's, which compares its runs at one length.
        """
        saved = self._saved_config()
        if saved is None:
            return config
        check_longer(saved.train, config.train, self.name)
        if not self.is_made_longer(config):
            return extended(config, saved, 0, ended=False)
        sweep = self.path.parent.parent
        if (sweep / "sweep.yaml").is_file():
            raise InputError(
                f"{self.name}: a run of the sweep in {sweep}, which compares its runs at one length; copy the folder, "
                "and extend the copy"
            )
        step = self.last_step()
        metrics = next((line for line in read_log(self.metrics).lines if line["step"] == step), {})
        ended = saved.evaluation.metric in metrics and bool(step % saved.train.eval_every)
        return extended(config, saved, step, ended=ended)

    def is_made_longer(self, config: RunConfig) -> bool:
        """Whether the folder holds a run of another length, which `extended` allows for a longer one alone."""
        saved = self._saved_config()
        return saved is not None and length_of(saved.train) != length_of(config.train)

    def _saved_config(self) -> RunConfig | None:
        """The config of the run that the folder holds; None where it holds none."""
        path = self.path / "config.yaml"
        return (
            validated(parse_yaml(path.read_text(encoding="utf-8"), str(path)), f"{path}: ") if path.is_file() else None
        )

    def open(self, identity: Identity, recipe: str | None, *, extend: bool = False) -> None:
        """Creates the folder, or reopens it for one more attempt, and notes the attempt's start. Where it makes the
        run longer, the model and the results of the shorter one are moved to `checkpoints/before-extension-N`."""
        self.check(identity, extend=extend)
        config, saved = identity.config, self._saved_config()
        writable_folder(self.path, argument("out"))
        for place in (self.path, self.checkpoints, self.results):
            remove_leftovers(place)
        quarantine(self.checkpoints)
        step = self.last_step()
        if saved is not None and self.is_made_longer(config) and not continues(saved, config, step):
            raise InputError(
                f"{self.name}: another attempt trained on to step {step}; the same command extends from there"
            )
        write_text(self.path / "config.yaml", to_yaml(config))
        notes = self.notes()
        extensions = notes.get("extensions", [])
        if saved is not None and length_of(saved.train) != length_of(config.train):
            extensions = [*extensions, note_of(saved, config, step, notes.get("config_fingerprint"))]
            self._set_outcome_aside(self.checkpoints / f"before-extension-{len(extensions)}")
            notes.pop("config_fingerprint", None)  # what was scored before is another model
        notes = {
            "schema": SCHEMA,
            "recipe": recipe if recipe is not None else notes.get("recipe"),
            "config_fingerprint": identity.fingerprint,
            "setting_fingerprint": identity.setting,
            "former_fingerprints": _former_fingerprints(notes, identity),
            "overrides": _overrides(recipe, config) if recipe is not None else notes.get("overrides"),
            "seed": config.train.seed,
            "contents": dict(identity.contents),
            "code_version": code_version(),
            "packages": package_versions(),
            "imports": checksums(),
            "machine": machine(),
            **({"extensions": extensions} if extensions else {}),
            **({"init": _start(config.model.init)} if config.model.init is not None else {}),
            "attempts": [*notes.get("attempts", []), {"start_step": step, "end_step": step}],
        }
        write_json(self.provenance, notes)

    def _set_outcome_aside(self, aside: Path) -> None:
        """Moves what the run had come to, which is not what it will come to."""
        for path in (self.model, self.results):
            if path.is_dir():
                aside.mkdir(parents=True, exist_ok=True)
                path.rename(aside / path.name)

    def notes(self) -> dict[str, Any]:
        """The contents of provenance.json; empty before the first attempt."""
        if not self.provenance.is_file():
            return {}
        notes = read_json(self.provenance, "provenance")
        if not isinstance(notes, dict):
            raise InputError(f"provenance: {self.provenance}: expected keys and values")
        return notes

    def model_provenance(self, step: int | None = None) -> Provenance:
        """What is behind the exported model, for a result; `step` is its checkpoint's."""
        notes = self.notes()
        return Provenance(
            code_version=code_version(),
            recipe=notes.get("recipe"),
            config_fingerprint=notes.get("config_fingerprint"),
            seed=notes.get("seed"),
            step=step,
        )

    def note_end(self, outcome: Mapping[str, Any]) -> None:
        """Notes that the run is finished, its model exported and scored: `steps`, `best_step` and `best_score`."""
        write_json(self.provenance, {**self.notes(), "finished": dict(outcome)})

    def finished(self, config: RunConfig) -> dict[str, Any] | None:
        """What `note_end` noted; None where the run is not finished, or its model or the scores that `config` asks
        for are not there. Reads no data: `check` tells whether it is this run."""
        noted = self.notes().get("finished")
        scored = not config.evaluation.tasks or (self.results / "test.json").is_file()
        saved = _saved_tasks(self.path / "config.yaml")
        complete = scored and saved == list(config.evaluation.tasks) and (self.model / "config.json").is_file()
        return noted if complete else None

    def note_step(self, step: int) -> None:
        """Notes that the current attempt has come to `step`."""
        notes = self.notes()
        notes["attempts"][-1]["end_step"] = step
        write_json(self.provenance, notes)


def _start(init: str) -> dict[str, Any]:
    """What is known of a warm start: the model, and of a run's model the run's fingerprint."""
    folder = Path(init).expanduser()
    run = next((RunFolder(place) for place in (folder, folder.parent) if RunFolder(place).provenance.is_file()), None)
    return {"model": init, "config_fingerprint": run.notes().get("config_fingerprint") if run else None}


def _former_fingerprints(notes: Mapping[str, Any], identity: Identity) -> list[str]:
    """The fingerprints that earlier versions gave this run: results bear them."""
    former = [*notes.get("former_fingerprints", []), notes.get("config_fingerprint")]
    return list(dict.fromkeys(digits for digits in former if digits not in (None, identity.fingerprint)))


def _saved_tasks(path: Path) -> list[str] | None:
    """The tasks that the run in a folder was scored on at its end."""
    values = read_yaml(path) if path.is_file() else None
    return values.get("evaluation", {}).get("tasks") if isinstance(values, dict) else None


def refuse_another(
    written: str, notes: Mapping[str, Any], place: str, identity: Identity, *, extend: bool = False
) -> None:
    """Refuses a `place` whose config.yaml, as it was `written`, and provenance, `notes`, are another run's,
    naming the keys that differ. `extend`: a run that is as long or shorter, and the same but for that, may go on."""
    saved = parse_yaml(written, f"{place}/config.yaml")
    differences = identity.differing(saved, notes)
    only_length = all(map(is_length_key, differences))
    if extend and only_length:
        check_longer(validated(saved).train, identity.config.train, place)
    elif differences:
        if extend:  # its length may differ
            differences = {key: words for key, words in differences.items() if not is_length_key(key)}
        hint = f"add {argument('extend', True)} to train it on to the new length, or " if only_length else ""
        raise InputError(
            f"{place}: this folder holds another run; {', '.join(differences.values())}; {hint}choose another "
            f"{argument('out')}"
        )


def _overrides(recipe: str, config: RunConfig) -> dict[str, Any]:
    """The values in which a config differs from its recipe, by dotted key."""
    try:
        base = load_recipe(recipe)
    except InputError:
        return dict(flat_values(config.dump()))  # a file that is gone by now, or a name of the caller's own
    rooted = with_absolute_paths(with_overrides(base, {"data.root": config.data.root}))
    plain = dict(flat_values(rooted.dump()))
    return {key: value for key, value in flat_values(config.dump()) if key not in plain or plain[key] != value}


class MetricsLog:
    """metrics.jsonl: one line an optimizer step, flushed at once. Lines after `step` are dropped when it
    is opened, so that after a resume each step appears once."""

    def __init__(self, path: Path, *, step: int) -> None:
        self._path = path
        kept = [json.dumps(line) + "\n" for line in read_log(path).lines if line["step"] <= step]
        write_text(path, "".join(kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        with system_errors_named(self._path):
            self._file.write(json.dumps({"step": step, **metrics}) + "\n")
            self._file.flush()

    def close(self) -> None:
        with system_errors_named(self._path):  # writes what a full disk has refused before
            self._file.close()
