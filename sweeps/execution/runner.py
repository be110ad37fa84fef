"""Runs a sweep on Ray Tune, from its start or from wherever it was left."""

import logging
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dalr.config.schema import RunConfig
from dalr.errors import Failed, InputError
from dalr.files import Locked, locked, writable_folder
from dalr.sweeps.analysis.outcome import SweepOutcome, write_outcome, write_progress
from dalr.sweeps.execution.disk import DiskKeeper, check_space
from dalr.sweeps.execution.tracked import note_endings
from dalr.sweeps.execution.trial import Train, make_trainable
from dalr.sweeps.search.control import Control
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.database import close_storage, database_url, open_storage, quiet_optuna
from dalr.sweeps.search.in_force import in_force
from dalr.sweeps.search.snapshot import SweepState, state_of
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.spec.loading import base_configs
from dalr.sweeps.spec.parts import ResourceSpec
from dalr.sweeps.spec.schema import SweepSpec

Display = Callable[[Callable[[], SweepState]], AbstractContextManager[None]]
"""Shows the state that a call gives while its block runs."""

Trainable = Callable[[Mapping[str, str]], None]

_log = logging.getLogger(__name__)

WORKER_DEATHS = 2
"""How often a trial whose process dies (a lost node, a kill) is started again from its checkpoint."""

MIN_RESERVATION = {"memory": 1.0}
"""What Tune reserves for the process of a trial whose workers do the work: a byte. It refuses to reserve
nothing, and any share of a CPU could be the one that the last worker lacks."""


def run_sweep(
    spec: SweepSpec,
    out: Path,
    *,
    quiet: bool = False,
    train: Train | None = None,
    display: Display = lambda _: nullcontext(),
) -> SweepOutcome:
    """Searches until the budget or the design ends, reruns the best, and writes the outcome to `out`.
    The same call goes on with a sweep that was cut off, at whatever moment.

    `train` trains one run (None: `dalr.training.loop`, on Ray Train where a trial has several workers).

    `display` shows how the sweep stands while it runs.

    Raises:
        InputError: `out` holds another sweep, or another process works on it; a file or model that every
            trial needs is missing; nothing would end the search.
        NotEnoughResources: the cluster cannot run a single trial.
    """
    out = writable_folder(Path(out).absolute(), "--out")
    quiet_optuna()
    with sole_driver(out):
        bases = base_configs(spec)
        check_trials(spec, bases)
        check_space(out)
        save_spec(spec, out)
        storage = open_storage(database_url(spec, out))
        coordinator = Coordinator(spec, bases, storage, str(out))
        control = steered(coordinator, spec, out)
        keeper = DiskKeeper()

        def changed() -> None:
            state = state_of(coordinator)
            write_progress(state, bases)
            keeper.tidy(state)

        coordinator.changed = changed
        coordinator.listen = control.look
        coordinator.decided = note_endings
        try:
            control.look()
            if not coordinator.finished_before():
                _run_on_ray(coordinator, bases, out, make_trainable(train), display, quiet=quiet)
            keeper.tidy(state_of(coordinator), at_once=True)
            return write_outcome(state_of(coordinator), bases)
        finally:
            close_storage(storage)


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


@dataclass(frozen=True)
class Capacity:
    """How many trials run at once, the GPUs of one worker, and what Tune reserves for each trial."""

    concurrent: int
    gpus: float
    bundle: dict[str, float]


def capacity_for(resources: ResourceSpec, bases: Collection[RunConfig] = ()) -> Capacity:
    """Checks the cluster before anything starts: that a trial fits, and each of the configs `bases` with its memory.

    Raises:
        NotEnoughResources: not even one trial fits.
    """
    from dalr.cluster.preflight.cards import with_card_sizes
    from dalr.cluster.preflight.resources import (
        UNKNOWN,
        bundles_on,
        check,
        check_whole_gpus,
        cluster_nodes,
        expected_memory,
    )

    nodes = cluster_nodes()
    gpus = resources.gpus if resources.gpus is not None else min(1.0, sum(node.get("GPU", 0.0) for node in nodes))
    worker = {"CPU": resources.cpus, **({"GPU": gpus} if gpus else {})}
    check_whole_gpus(worker, resources.workers)
    check(worker, resources.workers, nodes=nodes)
    if bases and gpus:
        nodes = with_card_sizes(nodes)
    estimates = [expected_memory(base, resources.workers, on_gpu=gpus > 0) for base in bases]
    needed = [memory for memory in estimates if memory is not None]
    for memory in needed:
        check(worker, resources.workers, memory=memory, nodes=nodes)
    # Tune does not reserve main memory: no more trials run at once than the nodes have memory for.
    bundle = {**worker, "memory": max((float(memory.host) for memory in needed), default=0.0)}
    limit = resources.concurrent or 10_000
    room = sum(bundles_on({"memory": UNKNOWN, **node}, bundle, limit * resources.workers) for node in nodes)
    most = room // resources.workers
    return Capacity(max(1, min(limit, most)), gpus, worker if resources.workers == 1 else MIN_RESERVATION)


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
    *,
    quiet: bool,
) -> None:
    from dalr.cluster.session import ray_session

    _log.info("starting: connecting to Ray, then the first trial's worker")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # 4 log files a trial that nobody reads
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the newer output ignores verbose=0
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # a model's relative folder keeps its meaning
    with ray_session(quiet=quiet):
        # Room for as many as fit: how many of them run may be set while the sweep does.
        resources = coordinator.spec.resources.model_copy(update={"concurrent": None})
        capacity = capacity_for(resources, bases.values())
        check_end(coordinator.spec, capacity.gpus)
        coordinator.set_capacity(capacity.concurrent, capacity.gpus)
        scratch = out / ".tune" / uuid.uuid4().hex[:8]
        try:
            with display(lambda: state_of(coordinator)):
                _tune(coordinator, capacity, scratch, trainable)
            if coordinator.ending:
                raise Failed(f"{out}: ended by dalr sweep stop; the same command continues")
            if not coordinator.finished:
                raise KeyboardInterrupt  # Tune takes Ctrl-C for itself and returns
        finally:
            coordinator.stop_clock()
            shutil.rmtree(out / ".tune", ignore_errors=True)


def _tune(coordinator: Coordinator, capacity: Capacity, scratch: Path, trainable: Trainable) -> None:
    from ray import tune

    from dalr.sweeps.execution.tune_adapter import SweepScheduler, SweepSearch

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    nested = coordinator.spec.resources.workers > 1
    tuner = tune.Tuner(
        tune.with_resources(trainable, tune.PlacementGroupFactory([capacity.bundle])),
        tune_config=tune.TuneConfig(
            search_alg=SweepSearch(coordinator),
            scheduler=SweepScheduler(coordinator),
            num_samples=-1,
            # Tune would otherwise ask for one trial's room at a time, and a cluster grow by one node at a time.
            max_concurrent_trials=capacity.concurrent,
            reuse_actors=not nested,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=scratch.name,
            storage_path=str(scratch.parent),
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
