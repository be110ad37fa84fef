"""Joins the Ray cluster that is there, or starts one on this machine for as long as it is needed."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray

# Two spinning threads of one process slow small matrix products down a hundredfold; workers inherit this.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Leave CUDA_VISIBLE_DEVICES alone for tasks that ask for no GPU; the future default, chosen now.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Where a node was lost, another may take minutes to come. Ray Train's own patience is a minute.
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")


@contextmanager
def ray_session(
    address: str | None = None, *, cpus: int | None = None, dashboard: bool = True, quiet: bool = False
) -> Iterator[None]:
    """Inside the block this process is connected to Ray.

    An existing connection is used as it is. Else `address`, or RAY_ADDRESS, is joined. Else a cluster
    of this machine alone is started, with `cpus` CPUs (default: all), and stopped when the block ends.
    Ray Train and Ray Tune need its dashboard; plain tasks do without, and start sooner.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    level = logging.ERROR if quiet else logging.WARNING
    if address:
        ray.init(address=address, logging_level=level, log_to_driver=not quiet)
    else:
        # A cluster of our own needs no token: it listens on this machine, for this process.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        port = free_port()
        # No one drains this machine, and the watcher for it opens each run with an error line of Ray's.
        settings = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
        if dashboard:
            # Ray Train's cleaner asks the dashboard whether its run lives: without one it waits, with another
            # cluster's on the same port it frees resources that are in use, and of two clusters on one machine
            # it would not know which to ask.
            settings["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{port}"
        with _environment(settings):
            ray.init(
                num_cpus=cpus,
                include_dashboard=dashboard,
                dashboard_host="127.0.0.1",
                dashboard_port=port,
                logging_level=level,
                log_to_driver=not quiet,
            )
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Inside the block these variables are set, for the processes that are started there."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
