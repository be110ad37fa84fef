"""Runs a sweep on Ray Tune, from its start or from wherever it was left."""

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from dalr.config.schema import RunConfig
from dalr.errors import Failed, InputError
from dalr.files import Locked, locked
from dalr.sweeps.analysis.outcome import SweepOutcome, write_outcome, write_progress
from dalr.sweeps.execution.capacity import MIN_RESERVATION, Capacity, capacity_for
from dalr.sweeps.execution.disk import DiskKeeper
from dalr.sweeps.execution.place import place_at
from dalr.sweeps.execution.progress_files import ProgressFiles
from dalr.sweeps.execution.tracked import note_endings
from dalr.sweeps.execution.trial import Train, make_trainable
from dalr.sweeps.search.control import Control
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.database import (
    close_storage,
    database_url,
    only_writer,
    open_storage,
    quiet_optuna,
    storage_advice,
)
from dalr.sweeps.search.in_force import in_force
from dalr.sweeps.search.snapshot import SweepState, final_runs, state_of
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.search.study_schema import stored_name
from dalr.sweeps.spec.checks import check_place
from dalr.sweeps.spec.loading import base_configs
from dalr.sweeps.spec.schema import SweepSpec

if TYPE_CHECKING:
    from ray.tune import PlacementGroupFactory

Display = Callable[[Callable[[], SweepState]], AbstractContextManager[None]]
"""Shows the state that a call gives while its block runs."""

Trainable = Callable[[Mapping[str, str]], None]

_log = logging.getLogger(__name__)

WORKER_DEATHS = 2
"""How often a trial whose process dies (a lost node, a kill) is started again from its checkpoint."""


def run_sweep(
    spec: SweepSpec,
    out: str | os.PathLike[str],
    *,
    quiet: bool = False,
    train: Train | None = None,
    display: Display = lambda _: nullcontext(),
) -> SweepOutcome:
    """Searches until the budget or the design ends, reruns the best, and writes the outcome to `out`, a folder or a
    URI. The same call goes on with a sweep that was cut off, at whatever moment.

    `train` trains one run (None: `dalr.training.loop`, on Ray Train where a trial has several workers).

    `display` shows how the sweep stands while it runs.

    Raises:
        InputError: `out` holds another sweep, or another process works on it; a file or model that every
            trial needs is missing; nothing would end the search.
        NotEnoughResources: the cluster cannot run a single trial.
        StorageFailed: what the sweep has come to could not be stored at its end.
    """
    check_place(spec, os.fspath(out))
    place = place_at(out)
    place.check()
    out = place.folder
    quiet_optuna()
    with sole_driver(out), ExitStack() as held:
        bases = base_configs(spec)
        check_trials(spec, bases)
        place.fetch()
        save_spec(spec, out)
        place.store()
        storage = open_storage(database_url(spec, out))
        held.callback(close_storage, storage)
        held.enter_context(only_writer(storage, stored_name(storage, spec, spec.recipe[0])))
        coordinator = Coordinator(spec, bases, storage, str(out), uri=place.uri)
        control = steered(coordinator, spec, out)
        keeper = DiskKeeper(place.remove)

        def write() -> None:
            state = state_of(coordinator)
            write_progress(state, bases)
            place.store()
            keeper.tidy(state)

        files = ProgressFiles(write)
        coordinator.changed = files.changed
        coordinator.listen = control.look
        coordinator.decided = note_endings
        control.look()
        files.changed()  # what a killed driver has left is older than the study
        if not coordinator.finished_before():
            _run_on_ray(coordinator, bases, out, make_trainable(train), display, files, quiet=quiet)
        keeper.tidy(state_of(coordinator), at_once=True)
        place.fetch_runs(final_runs(state_of(coordinator)))
        outcome = write_outcome(state_of(coordinator), bases)
        place.store(last=True)
        return outcome


def steered(coordinator: Coordinator, given: SweepSpec, out: Path) -> Control:
    """Lets a sweep that begins go on with what was set by hand in earlier starts, and obey what is asked of it."""
    spec = in_force(coordinator.record_study, given)
    if spec != given:
        save_spec(spec, out)
        coordinator.respecify(spec)
    return Control(coordinator, given, lambda spec: save_spec(spec, out))


@contextmanager
def sole_driver(out: Path) -> Iterator[None]:
    """Holds the sweep's folder: its database has one writer. The kernel frees the lock of a dead one."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(out / ".lock", seconds=0.0, what=f"the sweep in {out}"))
        except Locked as error:
            raise InputError(f"{out}: another `dalr sweep` works on this folder ({error.holder})") from None
        yield


def check_trials(spec: SweepSpec, bases: Mapping[str, RunConfig]) -> None:
    """What would fail every trial is refused before the first: a missing file, data that cannot be scored."""
    from dalr.evaluation import MetricScorer
    from dalr.evaluation.plan import own_tasks
    from dalr.training.inputs import check_inputs

    for base in bases.values():
        # A path that is searched has other values in every trial.
        check_inputs(base)
        own = own_tasks(base.evaluation.custom)
        for name in dict.fromkeys([*spec.metric, *spec.constraints]):
            if name != "seconds":
                MetricScorer(base.evaluation.data, name, own)


def check_end(spec: SweepSpec, gpus: float) -> None:
    """A budget of GPU-hours alone never ends on a cluster without GPUs."""
    budget = spec.budget
    if budget.gpu_hours and not gpus and budget.trials is None and budget.hours is None and spec.design() is None:
        raise InputError("budget: trials use no GPU here, so gpu_hours alone never end; give trials or hours besides")


def _run_on_ray(
    coordinator: Coordinator,
    bases: Mapping[str, RunConfig],
    out: Path,
    trainable: Trainable,
    display: Display,
    files: ProgressFiles,
    *,
    quiet: bool,
) -> None:
    from dalr.cluster.preflight.resources import cluster_nodes
    from dalr.cluster.session import ray_session

    _log.info("starting: connecting to Ray, then the first trial's worker")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # 4 log files a trial that nobody reads
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the newer output ignores verbose=0
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1e9")  # its record of all trials: the study is ours
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # a model's relative folder keeps its meaning
    with ray_session(quiet=quiet):
        # Room for as many as fit: how many of them run may be set while the sweep does.
        resources = coordinator.spec.resources.model_copy(update={"concurrent": None})
        capacity = capacity_for(resources, bases.values())
        if advice := storage_advice(coordinator.spec, out, len(cluster_nodes())):
            _log.warning(advice)
        check_end(coordinator.spec, capacity.gpus)
        coordinator.set_capacity(capacity.concurrent, capacity.gpus)
        coordinator.labels = capacity.labels
        scratch = Path(tempfile.mkdtemp(prefix="dalr-tune-"))  # not on the network: nobody else reads it
        try:
            with display(lambda: state_of(coordinator)):
                _tune(coordinator, capacity, scratch, trainable, files)
            if coordinator.ending:
                raise Failed(f"{out}: ended by dalr sweep stop; the same command continues")
            if not coordinator.finished:
                raise KeyboardInterrupt  # Tune takes Ctrl-C for itself and returns
        finally:
            coordinator.stop_clock()
            shutil.rmtree(scratch, ignore_errors=True)


def _tune(
    coordinator: Coordinator, capacity: Capacity, scratch: Path, trainable: Trainable, files: ProgressFiles
) -> None:
    from ray import tune

    from dalr.sweeps.execution.tune_adapter import SweepScheduler, SweepSearch

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    nested = coordinator.spec.resources.workers > 1
    tuner = tune.Tuner(
        tune.with_resources(trainable, placement(capacity)),
        tune_config=tune.TuneConfig(
            search_alg=SweepSearch(coordinator),
            scheduler=SweepScheduler(coordinator, on_round=files.write_if_due),
            num_samples=-1,
            # Tune would otherwise ask for one trial's room at a time, and a cluster grow by one node at a time.
            max_concurrent_trials=capacity.concurrent,
            reuse_actors=not nested,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(scratch),
            failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
            verbose=0,
        ),
    )
    with _ended_by_ctrl_c():
        tuner.fit()


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Inside the block the first Ctrl-C ends Tune's loop as its own handler would, which is silent here, and says so;
    a second one interrupts at once. In a thread other than the main one signals are the caller's business."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        _log.info("interrupted: running trials end, ended ones are kept; Ctrl-C again ends at once")
        os.kill(os.getpid(), signal.SIGUSR1)  # Tune's other signal for the same

    before = signal.signal(signal.SIGINT, note)
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        del os.environ["TUNE_DISABLE_SIGINT_HANDLER"]


def placement(capacity: Capacity) -> "PlacementGroupFactory":
    """What Tune reserves for a trial; a trial of several workers asks for their nodes itself."""
    from ray import tune

    if capacity.bundle == MIN_RESERVATION or not capacity.labels:
        return tune.PlacementGroupFactory([capacity.bundle])
    return tune.PlacementGroupFactory([capacity.bundle], bundle_label_selector=[dict(capacity.labels)])
