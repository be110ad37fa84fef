"""One training run on Ray Train: the loop of `dalr.training.loop`, a worker a process."""

import logging
import math
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch

from dalr.cluster.devices import claim_device
from dalr.cluster.failures import give_up, given_up, lost, open_note, out_of_memory
from dalr.cluster.ray_internals import leave_ctrl_c_alone
from dalr.cluster.signals import NODE_LEAVES, SaveBeforeNodeLeaves, StopWhenAsked, signals_ask
from dalr.cluster.storage.filesystems import StorageFailed
from dalr.cluster.storage.storage import Storage, storage_at
from dalr.config.overrides import validated
from dalr.config.schema import RunConfig
from dalr.distributed import run_on_all_ranks
from dalr.errors import Failed, InputError
from dalr.extensions import carried, load_carried
from dalr.identity import identity_of
from dalr.progress import bar, repeated
from dalr.tracking import make_trackers, service_settings
from dalr.tracking.labels import Labels
from dalr.tracking.tracker import Tracker
from dalr.training.callbacks import Callback, Diverged, Outcome, describe
from dalr.training.inputs import with_absolute_models
from dalr.training.run_folder import RunFolder

_log = logging.getLogger(__name__)

STARTS = 3
"""How often Ray Train tries to start the workers, each time for RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S seconds."""


@dataclass(frozen=True)
class Workers:
    """What a run asks of the cluster: `count` workers of `cpus` CPUs and `gpus` GPUs each, on nodes that the label
    selector `labels` takes; after `max_failures` lost workers or nodes it gives up. With `least`, training begins, and
    goes on after a loss, with as many of `count` as the cluster has room for, `least` or more."""

    count: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    max_failures: int = 3
    labels: Mapping[str, str] = field(default_factory=dict)
    least: int | None = None

    @property
    def fewest(self) -> int:
        """With how many workers training may go on."""
        return self.count if self.least is None else self.least

    @property
    def resources(self) -> dict[str, float]:
        """The resources of one worker, as Ray names them."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}


def train_on_ray(
    config: RunConfig,
    out: Path | Storage,
    *,
    workers: Workers,
    recipe: str | None = None,
    report_to: Sequence[str] = (),
    extend: bool = False,
    labels: Labels | None = None,
    quiet: bool = False,
) -> Outcome:
    """Trains, or goes on training, the run in folder `out` on the connected Ray cluster. `extend`: as
    `dalr.training.loop.train`.

    `out` is a folder that every node sees, or a storage that every node reaches. A lost worker or node is
    replaced and the run goes on from its newest checkpoint; where a node is drained, one is written first.
    SIGTERM lets the workers save one and leave: the outcome is not finished. Worker 0 reports to the trackers
    `report_to` (`dalr.tracking`), where `labels` say what the run is a part of.

    Raises:
        InputError: as `dalr.training.loop.train`.
        Diverged: the loss is not finite.
        Failed: more than `max_failures` workers or nodes were lost, or too few nodes were left; a node cannot
            read what is stored, or the end of the run could not be stored; another attempt is at work.
    """
    storage = storage_at(out) if isinstance(out, Path) else out
    storage.folder.check(identity_of(config), extend=extend)
    task: dict[str, Any] = {
        # Workers have working directories of their own.
        "config": with_absolute_models(config).dump(),
        "out": storage.uri,
        "recipe": recipe,
        "extend": extend,
        "imports": carried(),
        "report_to": list(report_to),
        "gpus": workers.gpus,
        "labels": labels,
        "environment": service_settings(report_to),
    }
    outcome = _attempt(task, storage, workers=workers, quiet=quiet)
    while outcome.reason == NODE_LEAVES:
        _log.info("%s: step %d is saved, the workers start again", NODE_LEAVES, outcome.steps)
        outcome = _attempt(task, storage, workers=workers, quiet=quiet)
    return outcome


def _attempt(task: dict[str, Any], storage: Storage, *, workers: Workers, quiet: bool) -> Outcome:
    """One run of Ray Train, which replaces workers that are lost."""
    before = storage.attempts()
    name = f"note {uuid.uuid4().hex}"
    note = open_note(name)
    trainer = _trainer({**task, "note": name}, storage, before, workers=workers, quiet=quiet)
    try:
        with (
            _progress(storage, quiet=quiet),
            signals_ask(storage.display_name, training=lambda: _begun(storage, before)) as signal_received,
        ):
            outcome = _outcome(trainer.fit().return_value)  # type: ignore[attr-defined]
            asked = signal_received()
            return outcome if outcome.finished or asked is None else replace(outcome, reason=asked)
    except ray.train.TrainingFailedError as error:
        words = lost(error, workers.fewest, workers.resources, starts=STARTS, max_failures=workers.max_failures)
        raise Failed(words) from error
    finally:
        del note
        storage.remove_ray_notes()


def _trainer(
    task: dict[str, Any], storage: Storage, attempt: int, *, workers: Workers, quiet: bool
) -> ray.train.torch.TorchTrainer:
    """Ray's trainer of one attempt at a run."""
    trainer = ray.train.torch.TorchTrainer(
        _work,  # type: ignore[arg-type]  # its return value is documented, not typed
        train_loop_config=task,
        # gloo on the CPU, NCCL on GPUs: chosen by Ray from `use_gpu`.
        torch_config=ray.train.torch.TorchConfig(timeout_s=1800),
        scaling_config=ray.train.ScalingConfig(  # type: ignore[call-arg]  # the checker sees version 1's
            num_workers=workers.count if workers.least is None else (workers.least, workers.count),  # type: ignore[arg-type]
            # To take in a node that comes later would end all workers, and lose the steps since their checkpoint.
            elastic_resize_monitor_interval_s=math.inf,
            use_gpu=workers.gpus > 0,
            resources_per_worker=workers.resources,
            label_selector=dict(workers.labels) or None,
        ),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]  # the checker sees version 1's
            # Ray resumes a name it knows; resuming is the run folder's business, so every attempt is new.
            name=f"attempt-{attempt}",
            **storage.ray_options(),
            failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]
                max_failures=workers.max_failures, controller_failure_limit=STARTS - 1
            ),
            logging_config=ray.train.LoggingConfig("ERROR" if quiet else "WARNING"),
            worker_runtime_env={"env_vars": _environment(workers)},
        ),
    )
    leave_ctrl_c_alone(trainer)
    return trainer


def _environment(workers: Workers) -> dict[str, str]:
    """Of each worker's process: a thread a CPU; no card that it did not ask for."""
    hidden = {} if workers.gpus else {"CUDA_VISIBLE_DEVICES": ""}
    return {"OMP_NUM_THREADS": str(max(1, int(workers.cpus))), **hidden}


def _outcome(answer: dict[str, Any]) -> Outcome:
    """What the workers answered (`_work`): an outcome, or the error that they met."""
    match answer.get("error"):
        case None:
            return Outcome(**answer)
        case "input":
            raise InputError(answer["message"])
        case "failed":
            raise Failed(answer["message"])
        case _:
            raise Diverged(answer["step"], answer["message"])


def _begun(storage: Storage, attempts: int) -> bool:
    """Whether an attempt beyond those `attempts` trains."""
    try:
        return storage.attempts() > attempts
    except StorageFailed:
        return True  # it cannot be asked; a worker that is not there yet finds the request later


def _work(task: dict[str, Any]) -> dict[str, Any]:
    """What each worker does. Errors that a new attempt would meet again are returned, not raised, so
    that Ray does not try again."""
    load_carried(task["imports"])
    config, storage = validated(task["config"]), storage_at(task["out"])
    folder = storage.folder
    os.environ.update(task["environment"])
    # Ray Train notes each report as an INFO of the root logger, whatever its own level is.
    logging.getLogger().setLevel(logging.WARNING)
    if (reason := given_up(task["note"])) is not None:
        return {"error": "failed", "message": reason}
    from dalr.training.loop import train

    rank = ray.train.get_context().get_world_rank()
    try:
        # What one worker lacks ends the run on all: none may be left waiting for another.
        device = run_on_all_ranks(lambda: claim_device(task["gpus"], ray.train.torch.get_device))
        _fetch(storage, config)
        callbacks: list[Callback] = [_RayCallback(), SaveBeforeNodeLeaves()]
        trackers = run_on_all_ranks(lambda: _trackers(task, folder, config) if rank == 0 else [])
        if rank == 0:
            callbacks += [StopWhenAsked(storage.display_name), *trackers, *storage.callbacks(config)]
        outcome = train(
            config,
            folder.path,
            callbacks=callbacks,
            recipe=task["recipe"],
            device=device,
            quiet=True,
            display_name=folder.display_name,
            extend=task["extend"],
        )
        if outcome.finished and _first_on_node():
            storage.cleanup_local(writer=rank == 0)
    except InputError as error:
        return {"error": "input", "message": str(error)}
    except Diverged as error:
        return {"error": "diverged", "message": str(error), "step": error.step}
    except Failed as error:
        return {"error": "failed", "message": str(error)}
    except (torch.OutOfMemoryError, MemoryError) as error:
        give_up(task["note"], out_of_memory(error, rank))
        raise  # the others wait for this worker: Ray ends them, and the next ones read the note
    return asdict(outcome)


def _trackers(task: dict[str, Any], folder: RunFolder, config: RunConfig) -> list[Tracker]:
    return make_trackers(task["report_to"], folder, config, task["labels"])


def _fetch(storage: Storage, config: RunConfig) -> None:
    """Makes every machine's folder what the run goes on from; what one of them cannot do ends it on all."""
    for work in (lambda: storage.push_pending(config), storage.fetch):
        run_on_all_ranks(lambda: work() if _first_on_node() else None)  # noqa: B023


def _first_on_node() -> bool:
    return ray.train.get_context().get_local_rank() == 0


class _RayCallback(Callback):
    """Shows evaluations to Ray. A report is a barrier of all workers, so never one a step."""

    def on_evaluation(self, step: int, score: float, metrics: Mapping[str, float]) -> None:
        ray.train.report({"step": step, "score": score, **metrics})


@contextmanager
def _progress(storage: Storage, *, quiet: bool) -> Iterator[None]:
    """Follows what is stored of the run's metrics.jsonl with a progress bar while the block runs."""
    if quiet:
        yield
        return
    with bar(quiet=quiet) as display:
        task = display.add_task("workers start and prepare features", total=None, note="")
        last_step = 0.0

        def look() -> None:
            nonlocal last_step
            for line in storage.last_lines():
                if line["step"] > last_step:
                    display.update(task, description="training", completed=line["step"], note=describe(line))
                    last_step = line["step"]
                    if "evaluation_seconds" in line:
                        display.say(task)

        with repeated(look, storage.poll_seconds):
            yield
