"""A user's own tasks, declared in a YAML file beside their data; no code is touched.

    tasks:
      - name: Reviews
        kind: classification
        files: {train: reviews-train.csv, test: reviews-test.csv}
        classes: [bad, good]
      - name: Headlines
        kind: sts
        files: {dev: headlines-dev.jsonl, test: headlines-test.jsonl}
        scale: [0, 5]

CSV and TSV files have a header: `sentence1 sentence2 score` for sts, `sentence label` (or `sentence1
sentence2 label`, with `pairs: true`) for classification; JSONL files have the same keys. Paths are
relative to the YAML file. A classification task with the one split `all` is cross-validated inside
cross-validation, one with `train` and `test` by cross-validation on train, one with `train`, `dev`
and `test` on dev.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from dalr.errors import InputError
from dalr.evaluation.tasks import (
    OWN,
    STANDARD,
    FileExpectation,
    LabelledSource,
    PairSource,
    StsTask,
    Task,
    TransferTask,
)
from dalr.extensions import added
from dalr.results import GROUPS
from dalr.validation import problems
from dalr.yaml_text import read_yaml

Scheme = Literal["nested", "kfold", "split"]
SCHEMES: dict[frozenset[str], Scheme] = {
    frozenset({"all"}): "nested",
    frozenset({"train", "test"}): "kfold",
    frozenset({"train", "dev", "test"}): "split",
}

LAYOUTS: dict[str, Literal["named", "jsonl"]] = {".csv": "named", ".tsv": "named", ".jsonl": "jsonl"}
"""How a file is read, by its ending."""


def layout_of(file: FileExpectation) -> Literal["named", "jsonl"]:
    """How a task's file is read."""
    return LAYOUTS[Path(file.path).suffix.lower()]


def _as_written(value: Any) -> Any:
    """The text of a class that YAML takes for a number or a truth value."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")
    files: dict[Literal["all", "train", "dev", "test"], str] = Field(min_length=1)
    rows: dict[str, int] = {}
    citation: str = ""

    def expectation(self, split: str, folder: Path) -> FileExpectation:
        path = self.files[split]  # type: ignore[index]
        if Path(path).suffix.lower() not in LAYOUTS:
            raise InputError(f"task {self.name}: {path}: expected one of {', '.join(LAYOUTS)}")
        return FileExpectation(str((folder / path).absolute()), self.rows.get(split), "utf-8-sig")


class DeclaredSts(_Declared):
    """Scored pairs."""

    kind: Literal["sts"]
    scale: tuple[float, float] = (0.0, 5.0)

    def task(self, folder: Path) -> StsTask:
        splits: dict[str, tuple[PairSource, ...]] = {}
        for split in self.files:
            file = self.expectation(split, folder)
            splits[split] = (PairSource(split, file, layout=layout_of(file)),)
        return StsTask(self.name, splits, self.scale, self.citation)


class DeclaredClassification(_Declared):
    """Labelled sentences, or pairs of sentences."""

    kind: Literal["classification"]
    classes: tuple[Annotated[str, BeforeValidator(_as_written)], ...] = Field(min_length=2)
    pairs: bool = False
    f1: bool = False

    def task(self, folder: Path) -> TransferTask:
        scheme = SCHEMES.get(frozenset(self.files))
        if scheme is None:
            known = "; ".join(", ".join(sorted(names)) for names in SCHEMES)
            raise InputError(f"task {self.name}: splits {', '.join(self.files)}; expected one of: {known}")
        splits: dict[str, tuple[LabelledSource, ...]] = {}
        for split in sorted(self.files, key=("all", "train", "dev", "test").index):
            file = self.expectation(split, folder)
            splits[split] = (LabelledSource(file, layout_of(file)),)
        return TransferTask(self.name, scheme, splits, self.classes, self.citation, pairs=self.pairs, f1=self.f1)


_TASKS = TypeAdapter(list[Annotated[DeclaredSts | DeclaredClassification, Field(discriminator="kind")]])


def added_tasks() -> tuple[Task, ...]:
    """The tasks that the user's modules added."""
    return tuple(_of_module(name, value) for name, value in added("task").items())


def _of_module(name: str, value: Any) -> Task:
    if isinstance(value, StsTask | TransferTask):
        return replace(value, name=name)
    where = f"add_task {name}"
    if not isinstance(value, Mapping) or not Path(str(value.get("folder", "."))).is_absolute():
        raise InputError(
            f"{where}: expected a task, or a mapping whose folder is absolute, as Path(__file__).parent is"
        )
    if name in (*STANDARD, *GROUPS, OWN):
        raise InputError(f"{where}: the name is taken; choose another")
    values = {key: inner for key, inner in value.items() if key != "folder"}
    try:
        (declared,) = _TASKS.validate_python([{**values, "name": name}])
    except ValidationError as error:
        raise InputError(f"{where}: {problems(error, root='task')}") from error
    return declared.task(Path(str(value.get("folder", "."))))


def read_tasks(path: str | Path) -> tuple[Task, ...]:
    """The tasks that a YAML file declares.

    Raises:
        InputError: not such a file; the message names the task's place in it and the key.
    """
    path = Path(path)
    values = read_yaml(path)
    if not isinstance(values, dict) or list(values) != ["tasks"]:
        raise InputError(f"{path}: expected one key, `tasks`, with a list of tasks")
    try:
        declared = _TASKS.validate_python(values["tasks"])
    except ValidationError as error:
        raise InputError(f"{path}: {problems(error, root='tasks')}") from error
    names = [task.name for task in declared]
    taken = sorted({name for name in names if name in (*STANDARD, *GROUPS, OWN) or names.count(name) > 1})
    if taken:
        raise InputError(f"{path}: the name {taken[0]} is taken; choose another")
    return tuple(task.task(path.parent) for task in declared)
