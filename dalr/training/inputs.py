"""What a config names must be there before anything starts; the embedded data is made where it is not."""

from pathlib import Path

from dalr.config.overrides import with_overrides
from dalr.config.recipes import FETCHED
from dalr.config.schema import EvaluationConfig, RunConfig
from dalr.data.features.needs import needs_of
from dalr.errors import InputError
from dalr.evaluation.custom import added_tasks
from dalr.evaluation.plan import own_tasks, plan
from dalr.evaluation.tasks import files_of, parse_metric
from dalr.extensions import added
from dalr.files import existing_file
from dalr.model.folder import PACKAGED, model_path

EMBEDDED = "embedded"


def check_inputs(config: RunConfig) -> None:
    """Looks for every file, folder and local model that a config with absolute paths names. Where it
    names the embedded data under `data.root`, that is made first, once. Imports no torch.

    Raises:
        InputError: one is missing or empty; the message names its key, the places that were looked in, and the
            command that fetches it.
    """
    data = config.data
    if data.root is not None and str(Path(data.root) / EMBEDDED) in str(data.captions):
        from dalr.datasets.embedded import make_embedded_data  # it draws, with a package that others do without

        make_embedded_data(Path(data.root))
    files = {
        "data.text": data.text if data.pair_every != 1 else None,
        "data.captions": data.captions if data.pair_every is not None else None,
        "data.image_features": data.image_features,
        "data.image_ids": data.image_ids,
        "data.caption_features": data.caption_features,
    }
    root = Path(data.root) if data.root is not None else None
    for key, value in files.items():
        if value is not None and not Path(value).is_dir():
            if not Path(value).exists():
                raise InputError(f"{key}: no such file: {value}{_elsewhere(Path(value), root)}")
            existing_file(value, key)
    folders = {"evaluation.data": config.evaluation.data}
    if needs_of(config.objective).images and data.image_features is None and config.teachers.image is not None:
        folders["data.images"] = data.images
    for key, value in folders.items():
        if value is not None and not Path(value).is_dir():
            raise InputError(f"{key}: no such folder: {value}{_elsewhere(Path(value), root)}")
    check_evaluation(config.evaluation)
    models = {f"teachers.text.{i}.model": teacher.model for i, teacher in enumerate(config.teachers.text)}
    if config.model.init is not None:
        models["model.init"] = config.model.init
    for key, name in {"model.student": config.model.student, **models}.items():
        if name in added("text_teacher"):
            if not key.startswith("teachers."):
                raise InputError(f"{key}: {name} is a module's teacher; a student is a model folder or a hub name")
            continue
        try:
            model_path(name)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error


def with_absolute_models(config: RunConfig) -> RunConfig:
    """The config with the folder of each model that lies on this machine absolute: in another working directory a
    relative one would be another model's name."""
    names = {"model.student": config.model.student}
    names |= {"model.init": config.model.init} if config.model.init is not None else {}
    names |= {f"teachers.text.{i}.model": teacher.model for i, teacher in enumerate(config.teachers.text)}
    folders = {
        key: str(Path(name).expanduser().absolute())
        for key, name in names.items()
        if name not in PACKAGED and Path(name).expanduser().is_dir()
    }
    return with_overrides(config, folders)


def check_evaluation(evaluation: EvaluationConfig) -> None:
    """The folder of the benchmark, and what the user's own tasks and `evaluation.tasks` name.

    Raises:
        InputError: a folder or file that is missing, or a task that there is not.
    """
    if evaluation.data is not None and not Path(evaluation.data).is_dir():
        raise InputError(f"evaluation.data: no such folder: {evaluation.data}")
    own = own_tasks(evaluation.custom)
    try:
        metric, _ = parse_metric(evaluation.metric, own)
    except InputError as error:
        raise InputError(f"evaluation.metric: {error}") from error
    elsewhere = {task.name for task in added_tasks()} - {metric, *evaluation.tasks}  # other runs' business
    for file in (file for task in own if task.name not in elsewhere for file in files_of(task)):
        existing_file(file.path, "evaluation.custom")
    try:
        plan(evaluation.tasks, "test", own_tasks(evaluation.custom, evaluation.tasks))
    except InputError as error:
        named = f"; your own: {', '.join(task.name for task in own)}" if own else ""
        raise InputError(f"evaluation.tasks: {error}{named}") from error


def _elsewhere(path: Path, root: Path | None) -> str:
    """Where else a missing path might lie: under the data root instead of the working directory, or the other way
    round; and how to fetch it, where `dalr data fetch` can."""
    here = Path.cwd()
    if root is not None and path.is_relative_to(root):
        relative = path.relative_to(root)
        other, why = here / relative, f"relative paths lie under data.root, {root}"
    elif root is not None and path.is_relative_to(here):
        relative = path.relative_to(here)
        other, why = root / relative, "data.root is not set, so the path is taken from the working directory"
    else:
        return ""
    found = f"{other} is there: give its full path" if other.exists() else f"nor is there {other}"
    name = FETCHED.get(relative.parts[0]) if relative.parts and root is not None and path.is_relative_to(root) else None
    fetch = f"; to get it: dalr data fetch {name} --out {root}" if name else ""
    return f" ({why}); {found}{fetch}" if other != path else fetch
