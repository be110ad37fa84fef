"""A trial of several workers: Ray Train inside the trial, its evaluations passed on to the sweep."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dalr.config.schema import RunConfig
from dalr.metrics_log import parse_log
from dalr.sweeps.execution.place import storage_of
from dalr.sweeps.execution.tracked import labels_of
from dalr.sweeps.search.records import Task
from dalr.training.callbacks import Callback, Outcome
from dalr.training.run_folder import RunFolder

POLL_SECONDS = 0.5


def follow_ray_train(config: RunConfig, folder: Path, listener: Callback, task: Task) -> Outcome:
    """Trains on Ray Train in a thread, and tells the listener of each evaluation as it appears in
    metrics.jsonl. A run that the sweep asked to leave (`ask_to_leave`) ends here unfinished.

    Ray's own `TuneReportCallback` is not used: it hands a worker's metrics to Tune past this thread, so that neither
    the seed nor the attempt, nor the sweep's wish to end the trial, would be in what goes through, and it starts a
    further actor for each run. The file is there anyway, and a look at it costs one `stat`.
    """
    from dalr.cluster.train import Workers, train_on_ray

    ended = threading.Event()
    result: dict[str, Any] = {}

    def work() -> None:
        try:
            workers = Workers(task.workers, task.cpus, task.gpus, labels=task.labels)
            os.environ.update(task.environment)
            result["outcome"] = train_on_ray(
                config,
                folder,
                workers=workers,
                recipe=task.recipe,
                report_to=task.report_to,
                labels=labels_of(task, config.train.seed),
                quiet=True,
            )
        except Exception as error:
            result["error"] = error  # raised again below, in the trial's own thread
        finally:
            ended.set()

    lines = _Lines(RunFolder(folder).metrics)
    threading.Thread(target=work, daemon=True).start()
    started = False
    while True:
        over = ended.wait(POLL_SECONDS)
        for line in lines.new():
            if not started:
                listener.on_start(line["step"] - 1, config.train.steps or 0)
                started = True
            listener.on_step(line["step"], line)
            if config.evaluation.metric in line:
                listener.on_evaluation(line["step"], line[config.evaluation.metric], line)
        if over:
            break
    if "error" in result:
        raise result["error"]
    return result["outcome"]


def ask_to_leave(task: Task, seed: int) -> object:
    """Asks the workers of a trial's run to save and leave; they do so after their present step, for as long as
    the answer is kept. Were their trial's process ended instead, they would keep their place on the cluster
    until the sweep ends, and the next trial would wait for it.
    """
    from dalr.cluster.signals import request_to_stop

    return request_to_stop(storage_of(task, seed).display_name)


class _Lines:
    """The complete lines of a growing file, each step once. A run that resumes rewrites its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.is_file() else 0
        self._step = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """What was added since the last call."""
        if not self._path.is_file():
            return
        if self._path.stat().st_size < self._offset:
            self._offset = 0
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for values in parse_log(whole).lines:
            if values["step"] > self._step:
                self._step = values["step"]
                yield values
