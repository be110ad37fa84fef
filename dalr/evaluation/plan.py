"""Which tasks an evaluation scores, and which splits it reads of them. Needs no torch."""

from collections.abc import Sequence
from pathlib import Path

from dalr.errors import InputError, argument
from dalr.evaluation.custom import added_tasks, read_tasks
from dalr.evaluation.readers import DataFolder
from dalr.evaluation.tasks import OWN, STANDARD, StsTask, Task
from dalr.results import GROUPS, Protocol


def plan(tasks: str | Sequence[str], protocol: Protocol, custom: Sequence[Task] = ()) -> list[Task]:
    """The tasks to score, in column order, the user's own last; `custom` are scored whether named or not.

    A group leaves out what has no dev split under protocol `dev` (STS12 to STS16).

    Raises:
        InputError: an unknown name, or a task named by itself that has no dev split.
    """
    known = STANDARD | {task.name: task for task in custom}
    chosen: set[str] = {task.name for task in custom}
    for task in custom:
        missing = [split for split in splits_read(task, protocol) if split not in task.splits]
        if missing:
            raise InputError(f"task {task.name} declares no split {missing[0]!r}, which protocol {protocol} reads")
    for name in _names(tasks):
        if name in GROUPS:
            chosen.update(task for task in GROUPS[name] if protocol != "dev" or _has_dev(STANDARD[task]))
        elif name == OWN:
            continue
        elif name not in known:
            groups = ", ".join((*GROUPS, OWN))
            raise InputError(f"unknown task {name!r}; known: {', '.join(known)}; groups: {groups}")
        elif protocol == "dev" and not _has_dev(known[name]):
            raise InputError(f"{name} has only a test split, which protocol dev does not read")
        else:
            chosen.add(name)
    return [task for name, task in known.items() if name in chosen]


def _names(tasks: str | Sequence[str]) -> list[str]:
    names = tasks.split(",") if isinstance(tasks, str) else tasks
    return [name.strip() for name in names if name.strip()]


def own_tasks(custom: str | Path | None, named: Sequence[str] | None = None) -> tuple[Task, ...]:
    """The tasks of the user's own: those that the YAML file `custom` declares, none where there is no file, and those
    that the user's modules added. With `named`, only those in it; the group `custom` stands for all.

    Raises:
        InputError: see `read_tasks`; a name that stands twice.
    """
    own = (*(read_tasks(custom) if custom is not None else ()), *added_tasks())
    names = [task.name for task in own]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{custom}: the task {twice[0]} is one of a module's, too; rename one of them")
    return tuple(task for task in own if named is None or OWN in named or task.name in named)


def asked_tasks(
    tasks: str | Sequence[str] | None,
    data: Path | None,
    custom: Path | None,
    protocol: Protocol,
    *,
    others: bool = False,
) -> tuple[list[str], tuple[Task, ...]]:
    """What an evaluation is asked for: names of tasks and groups, and the user's own tasks.
    `others` says that tasks of MTEB are asked for besides.

    Raises:
        InputError: nothing, an unknown task, or tasks of the benchmark without its data.
    """
    names = _names(tasks) if tasks is not None else ["all"] if data is not None else []
    # A file of tasks is named to be scored; a module may add more than one evaluation wants.
    unwanted = {task.name for task in added_tasks()} - (set() if OWN in names else {*names})
    own = tuple(task for task in own_tasks(custom) if OWN in names or task.name not in unwanted)
    official = [task.name for task in plan(names, protocol, own) if task.name in STANDARD]
    if official and data is None:
        raise InputError(
            f"{argument('data')}: missing; {official[0]} is read from a SentEval folder, and only your own tasks need "
            "none"
        )
    if not official and not own and not others:
        raise InputError(
            f"{argument('data')}, {argument('custom')} or {argument('mteb')}: missing; one must say what is scored"
        )
    DataFolder.open(data)
    return names, own


def _has_dev(task: Task) -> bool:
    return not isinstance(task, StsTask) or "dev" in task.splits


def splits_read(task: Task, protocol: Protocol) -> list[str]:
    """The splits that the protocol reads of a task."""
    if isinstance(task, StsTask):
        return ["dev" if protocol == "dev" else "test"]
    return [split for split in task.splits if not (protocol == "dev" and split == "test")]
