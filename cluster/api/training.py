"""`dalr.train`: one run, on Ray Train or in this process."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dalr.cluster.api.run import Run
from dalr.config.overrides import with_absolute_paths
from dalr.config.schema import RunConfig
from dalr.errors import Failed, InputError
from dalr.extras import explained
from dalr.files import uri_of
from dalr.training.callbacks import Callback
from dalr.training.inputs import check_inputs

if TYPE_CHECKING:
    from dalr.cluster.storage.storage import Storage
    from dalr.training.callbacks import Outcome


@explained()
def train(
    config: RunConfig,
    out: str | os.PathLike[str],
    *,
    workers: int = 1,
    min_workers: int | None = None,
    cpus: float = 1.0,
    gpus: float | None = None,
    max_failures: int = 3,
    address: str | None = None,
    report_to: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    preflight: bool = True,
    local: bool = False,
    extend: bool = False,
    quiet: bool = False,
) -> Run:
    """Trains one run, or goes on training it: the same call resumes what was cut off, and trains nothing twice.

    `config` comes from `dalr.recipe`. `out` is the run's folder: a path that every node sees, or a URI such as
    s3://bucket/runs/a. `workers` training processes of `cpus` CPUs and `gpus` GPUs each (default: one where there
    are any) run on the Ray cluster that this process is connected to, else the one at `address` or RAY_ADDRESS, else
    one that is started on this machine; `max_failures` lost workers or nodes are replaced. Where the cluster has no
    room for `workers`, or no longer, `min_workers` or more train instead: they round, and draw dropout, otherwise. With
    `local` it trains in this process, without Ray, and tells `callbacks` of every step. `report_to` names trackers
    (tensorboard, wandb, mlflow). `preflight` asks first whether the cluster has room. With `extend` a run that is there
    goes on to more `train.steps` or `train.epochs`.

    A run that was stopped orderly (a signal, a callback) is returned with `finished` false: call again to go on.

    Raises:
        InputError: a file or model is missing, the folder holds another run, or the cluster has no room.
        Failed: the loss is not finite, too many workers were lost, or a disk failed.
    """
    if not isinstance(config, RunConfig):
        raise InputError(f"train: expected a config, not {type(config).__name__}; make one: dalr.recipe('dalr')")
    if callbacks and not local:
        raise InputError("train: callbacks are told of a run in this process; set local, too")
    if min_workers is not None and not 1 <= min_workers <= workers:
        raise InputError(f"min_workers: {min_workers} is not from 1 to the {workers} workers asked for")
    config, out = with_absolute_paths(config).of_recipe(config.recipe), os.fspath(out)
    trackers = _trackers(report_to)
    check_inputs(config)
    if (run := _finished(config, out, extend=extend)) is not None:
        return run

    # torch comes with these: what is wrong so far is refused without waiting for it.
    from dalr.cluster.storage.storage import storage_at

    storage = storage_at(out)
    storage.check(config, extend=extend)
    with _resumable():
        if local:
            outcome = train_here(config, storage, callbacks, trackers=trackers, extend=extend, quiet=quiet)
            return Run.of_outcome(storage.display_name, outcome)

        from dalr.cluster.preflight.resources import check_whole_gpus, default_gpus
        from dalr.cluster.preflight.resources import preflight as place_of
        from dalr.cluster.session import ray_session
        from dalr.cluster.train import Workers, train_on_ray

        with ray_session(address, quiet=quiet):
            asked = Workers(workers, cpus, gpus or 0.0, max_failures, least=min_workers)
            if gpus is None:
                asked = replace(asked, gpus=default_gpus(asked.fewest))
            check_whole_gpus(asked.resources, asked.count)
            if preflight:
                asked = replace(asked, labels=place_of(config, asked.resources, asked.fewest))
            outcome = train_on_ray(
                config, storage, workers=asked, recipe=config.recipe, report_to=trackers, extend=extend, quiet=quiet
            )
    return Run.of_outcome(storage.display_name, outcome)


def _trackers(names: Sequence[str]) -> tuple[str, ...]:
    """The trackers' names, checked; torch is imported for them alone."""
    if not names:
        return ()
    from dalr.tracking import parse_names

    return parse_names(",".join([names] if isinstance(names, str) else names))


def _finished(config: RunConfig, out: str, *, extend: bool) -> Run | None:
    """The run of `config` in the folder `out`, if it is there and finished; read without torch. `extend`: a shorter
    one is not it."""
    from dalr.identity import identity_of
    from dalr.training.run_folder import RunFolder

    folder = RunFolder(Path(out).absolute())
    if uri_of(out) or not folder.provenance.is_file() or folder.finished(config) is None:
        return None
    folder.check(identity_of(folder.extended(config) if extend else config), extend=extend)
    return None if extend and folder.is_made_longer(config) else Run.open(out)


def train_here(
    config: RunConfig,
    storage: "Storage",
    callbacks: Sequence[Callback] = (),
    *,
    trackers: Sequence[str] = (),
    extend: bool = False,
    quiet: bool = False,
) -> "Outcome":
    """Trains in this process a run that is kept in `storage`."""
    from dalr.tracking import make_trackers
    from dalr.training.callbacks import ProgressCallback
    from dalr.training.loop import train as train_loop

    storage.push_pending(config)
    storage.fetch()
    folder = storage.folder
    told = [ProgressCallback(quiet=quiet), *callbacks, *make_trackers(trackers, folder, config)]
    outcome = train_loop(
        config,
        folder.path,
        callbacks=[*told, *storage.callbacks(config)],
        recipe=config.recipe,
        quiet=quiet,
        display_name=folder.display_name,
        extend=extend,
    )
    if outcome.finished:
        storage.cleanup_local(writer=True)
    return outcome


@contextmanager
def _resumable() -> Iterator[None]:
    """Inside the block a disk that does not do its work ends the run with one line that says how to go on."""
    try:
        yield
    except OSError as error:
        room = "make room, and " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
        raise Failed(f"{error}; {room}the same command continues") from error
