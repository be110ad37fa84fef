"""The command `dalr tasks`: what models can be scored on."""

from typing import Annotated

import typer


def tasks(
    quiet: Annotated[bool, typer.Option("--quiet", help="Print names alone.")] = False,
) -> None:
    """List the evaluation tasks with their groups, splits and sources.

    --tasks of dalr evaluate and evaluation.tasks of a config take these names and the groups sts, transfer and
    all; evaluation.metric takes NAME.SPLIT.

    Example: dalr tasks
    """
    from dalr.evaluation.custom import added_tasks
    from dalr.evaluation.tasks import STANDARD, StsTask

    known = STANDARD | {task.name: task for task in added_tasks()}
    width = max(map(len, known))
    for name, task in known.items():
        if quiet:
            typer.echo(name)
            continue
        similarity = isinstance(task, StsTask)
        splits = ", ".join(task.splits) if isinstance(task, StsTask) else "dev, test"
        group = "sts, Spearman x 100" if similarity else "transfer, accuracy"
        typer.echo(f"{name:{width}}  {group:20}  {splits:16}  {task.citation}")
