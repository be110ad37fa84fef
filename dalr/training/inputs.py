"""What a config names must be there before anything starts; the embedded data is made where it is not."""

from pathlib import Path

from dalr.config.schema import EvaluationConfig, RunConfig
from dalr.datasets.embedded import make_embedded_data
from dalr.errors import InputError
from dalr.evaluation.plan import own_tasks, plan
from dalr.evaluation.tasks import files_of
from dalr.files import existing_file
from dalr.model.folder import model_path

EMBEDDED = "embedded"


def check_inputs(config: RunConfig) -> None:
    """Looks for every file, folder and local model that a config with absolute paths names. Where it
    names the embedded data under `data.root`, that is made first, once.

    Raises:
        InputError: one is missing or empty; the message names its key.
    """
    data = config.data
    if data.root is not None and str(Path(data.root) / EMBEDDED) in str(data.captions):
        make_embedded_data(Path(data.root))
    files = {
        "data.text": data.text if data.pair_every != 1 else None,
        "data.captions": data.captions if data.pair_every is not None else None,
        "data.image_features": data.image_features,
        "data.image_ids": data.image_ids,
        "data.caption_features": data.caption_features,
    }
    for key, value in files.items():
        if value is not None and not Path(value).is_dir():
            existing_file(value, key)
    check_evaluation(config.evaluation)
    models = {f"teachers.text.{i}.model": teacher.model for i, teacher in enumerate(config.teachers.text)}
    for key, name in {"model.student": config.model.student, **models}.items():
        try:
            model_path(name)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error


def check_evaluation(evaluation: EvaluationConfig) -> None:
    """The folder of the benchmark, and what the user's own tasks and `evaluation.tasks` name.

    Raises:
        InputError: a folder or file that is missing, or a task that there is not.
    """
    if evaluation.data is not None and not Path(evaluation.data).is_dir():
        raise InputError(f"evaluation.data: no such folder: {evaluation.data}")
    own = own_tasks(evaluation.custom)
    for file in (file for task in own for file in files_of(task)):
        existing_file(file.path, "evaluation.custom")
    try:
        plan(evaluation.tasks, "test", own_tasks(evaluation.custom, evaluation.tasks))
    except InputError as error:
        named = f"; your own: {', '.join(task.name for task in own)}" if own else ""
        raise InputError(f"evaluation.tasks: {error}{named}") from error
