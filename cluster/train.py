"""One training run on Ray Train: the loop of `dalr.training`, a worker a process."""

import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch

from cluster.stopping import StopWhenAsked, sigterm_asks
from dalr.config import RunConfig
from dalr.errors import InputError
from dalr.overrides import validated
from dalr.progress import bar, describe
from dalr.reporting import Diverged, Outcome, Reporter
from dalr.run_folder import RunFolder
from dalr.tracking import SETTINGS, make_trackers

_SCRATCH = ".ray"
"""Ray's own notes about an attempt, inside the run's folder; of no use once it has ended."""


@dataclass(frozen=True)
class Workers:
    """What a run asks of the cluster: `count` workers of `cpus` CPUs and `gpus` GPUs each; after
    `max_failures` lost workers or nodes it gives up."""

    count: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    max_failures: int = 3

    @property
    def resources(self) -> dict[str, float]:
        """The resources of one worker, as Ray names them."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}


def default_gpus(count: int) -> float:
    """One GPU a worker where the connected cluster has that many, none otherwise."""
    return 1.0 if ray.cluster_resources().get("GPU", 0) >= count else 0.0


def train_on_ray(
    config: RunConfig,
    out: Path,
    *,
    workers: Workers,
    recipe: str | None = None,
    report_to: Sequence[str] = (),
    quiet: bool = False,
) -> Outcome:
    """Trains, or goes on training, the run in folder `out` on the connected Ray cluster.

    `out` must be a folder that every node sees. A lost worker or node is replaced and the run goes on
    from its newest checkpoint. SIGTERM lets the workers save one and leave: the outcome is not finished.
    Worker 0 reports to the trackers `report_to` (`dalr.tracking`).

    Raises:
        InputError: as `dalr.training.train`.
        Diverged: the loss is not finite.
        ray.train.TrainingFailedError: more than `max_failures` failures.
    """
    out = Path(out).absolute()
    folder = RunFolder(out)
    folder.check(config)
    attempt = _attempts(folder)
    stop = f"stop {out}"
    trainer = ray.train.torch.TorchTrainer(
        _work,  # type: ignore[arg-type]  # its return value is documented, not typed
        train_loop_config={
            "config": config.dump(),
            "out": str(out),
            "recipe": recipe,
            "stop": stop,
            "report_to": list(report_to),
            "environment": {name: os.environ[name] for name in SETTINGS if name in os.environ} if report_to else {},
        },
        # gloo on the CPU, NCCL on GPUs: chosen by Ray from `use_gpu`.
        torch_config=ray.train.torch.TorchConfig(timeout_s=1800),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers.count, use_gpu=workers.gpus > 0, resources_per_worker=workers.resources
        ),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]  # the checker sees version 1's
            # Ray resumes a name it knows; resuming is the run folder's business, so every attempt is new.
            name=f"attempt-{attempt}",
            storage_path=str(out / _SCRATCH),
            failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]
                max_failures=workers.max_failures, controller_failure_limit=3
            ),
            logging_config=ray.train.LoggingConfig("ERROR" if quiet else "WARNING"),
            worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": str(max(1, int(workers.cpus)))}},
        ),
    )
    try:
        with _progress(folder, quiet=quiet), sigterm_asks(stop, training=lambda: _attempts(folder) > attempt):
            answer = trainer.fit().return_value  # type: ignore[attr-defined]
    finally:
        shutil.rmtree(out / _SCRATCH, ignore_errors=True)
    if "error" in answer:
        if answer["error"] == "input":
            raise InputError(answer["message"])
        raise Diverged(answer["step"], answer["message"])
    return Outcome(**answer)


def _attempts(folder: RunFolder) -> int:
    """How many attempts at the run have begun to train."""
    return len(folder.notes().get("attempts", []))


def _work(task: dict[str, Any]) -> dict[str, Any]:
    """What each worker does. Errors that a new attempt would meet again are returned, not raised, so
    that Ray does not try again."""
    from dalr.training import train

    config, folder = validated(task["config"]), RunFolder(Path(task["out"]))
    os.environ.update(task["environment"])
    first = ray.train.get_context().get_world_rank() == 0
    reporters: list[Reporter] = [_RayReporter()]
    if first:
        reporters += [StopWhenAsked(task["stop"]), *make_trackers(task["report_to"], folder, config)]
    device = ray.train.torch.get_device()
    try:
        outcome = train(config, folder.path, reporters=reporters, recipe=task["recipe"], device=device, quiet=True)
    except InputError as error:
        return {"error": "input", "message": str(error)}
    except Diverged as error:
        return {"error": "diverged", "message": str(error), "step": error.step}
    return asdict(outcome)


class _RayReporter(Reporter):
    """Shows evaluations to Ray. A report is a barrier of all workers, so never one a step."""

    def on_evaluation(self, step: int, score: float, metrics: Mapping[str, float]) -> None:
        ray.train.report({"step": step, "score": score, **metrics})


@contextmanager
def _progress(folder: RunFolder, *, quiet: bool) -> Iterator[None]:
    """Follows the run's metrics.jsonl with a progress bar while the block runs."""
    ended = threading.Event()
    with bar(quiet=quiet) as display:
        task = display.add_task("starting workers", total=None, note="")

        def follow() -> None:
            while not ended.wait(0.5):
                line = _last_line(folder.metrics)
                if line is not None:
                    display.update(task, description="training", completed=line["step"], note=describe(line))

        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _last_line(path: Path) -> dict[str, float] | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096), os.SEEK_SET)
        lines = file.read().decode("utf-8", errors="replace").splitlines(keepends=True)
    whole = [line for line in lines[1:] or lines if line.endswith("\n")]
    return json.loads(whole[-1]) if whole else None
