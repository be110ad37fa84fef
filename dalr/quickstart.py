"""The whole pipeline on embedded data. The commands are handed in: this package knows none of the others."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import typer

from dalr.files import writable_folder, write_text

SWEEP = """\
recipe: quickstart
overrides: {train.steps: 15, evaluation.tasks: []}
space:
  optim.learning_rate: {log: [1.0e-4, 1.0e-3]}
  objective.intra_modal: {uniform: [0.05, 1.0]}
sampler: {name: tpe, seed: 0}
scheduler: {name: none}
budget: {trials: 3}
seeds: {per_trial: 1, final: 0}
"""


def run(
    out: Path,
    command: Mapping[str, Callable[..., Any]],
    ray_session: Callable[..., contextlib.AbstractContextManager[Any]],
    *,
    quiet: bool,
) -> None:
    """Features, a sweep of three points, the best one trained and scored beside the untrained student, a report; then
    where the time went. `command` are `dalr features`, `sweep`, `train` and `report` by name.

    Raises:
        InputError: as the commands; a folder that cannot be written.
    """
    data, runs = f"data.root={out / 'data'}", out / "runs"
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def phase(name: str, text: str) -> Iterator[None]:
        if not quiet:
            typer.echo(f"{len(seconds) + 1}/4  {name}: {text}")
        began = time.monotonic()
        yield
        seconds[name] = time.monotonic() - began

    writable_folder(out, "--out")
    spec = out / "sweep.yaml"
    write_text(spec, SWEEP)
    with phase("features", "scenes and captions are drawn, then the teachers encode them, once"):
        command["features"]("quickstart", [data], quiet=quiet)
    with contextlib.ExitStack() as ray:
        with phase("sweep", "three points with Ray Tune and Optuna"):
            ray.enter_context(ray_session(quiet=True))
            command["sweep"](str(spec), [data], out=out / "sweep", quiet=quiet)
        best = str(out / "sweep" / "best.yaml")
        all_tasks = "evaluation.tasks=[all]"
        with phase("training", "the best point on Ray Train, scored on all tasks; the untrained student beside it"):
            # The warm-up's first step has rate 0: the student as it was.
            untrained = ["train.steps=1", "optim.warmup_steps=1", all_tasks]
            scored = _beside(
                lambda: command["train"](best, untrained, out=str(runs / "untrained"), local=True, quiet=True)
            )
            trained = ["train.steps=30", "train.eval_every=15", all_tasks]
            command["train"](best, trained, out=str(runs / "dalr"), quiet=quiet)
            scored()
    with phase("report", "tables, figures, one page"):
        names = {"dalr": "DALR, best of three points", "untrained": "the student, untrained"}
        labels = [f"runs/{run}={name}" for run, name in names.items()]
        command["report"]([runs, out / "sweep"], out / "report", name=labels, quiet=quiet)
    if not quiet:
        rows = [*seconds.items(), ("in all", sum(seconds.values()))]
        typer.echo("where the time went:\n" + "\n".join(f"  {name:<10}{spent:5.0f} s" for name, spent in rows))


def _beside(work: Callable[[], None]) -> Callable[[], None]:
    """Starts the work in a thread that ends with the process. The answer waits for it and raises what it raised."""
    end: Future[None] = Future()

    def run() -> None:
        try:
            work()
            end.set_result(None)
        except BaseException as error:
            end.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return end.result
