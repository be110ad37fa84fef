"""Joins the Ray cluster that is there, or starts one on this machine for as long as it is needed."""

import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError, RayError

import dalr
from dalr.cluster.probe import check_cluster
from dalr.cluster.ray_internals import check_token, enable_tokens, recorded_address
from dalr.errors import Failed, InputError, argument

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

    An existing connection is used as it is. Else `address`, or RAY_ADDRESS, is joined. Else (or where that
    says `local`) a cluster of this machine alone is started, with `cpus` CPUs (default: all), and stopped when
    the block ends. Ray Train and Ray Tune need its dashboard; plain tasks do without, and start sooner.

    Raises:
        InputError: nothing answers at the address, or it does not accept the token; the working directory holds
            another `dalr` than this one.
    """
    if ray.is_initialized():
        yield
        return
    check_import_name()
    address = address or os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        _join(address, quiet=quiet)
    else:
        _start(cpus, dashboard=dashboard, quiet=quiet)
    try:
        yield
    finally:
        ray.shutdown()


def check_import_name() -> None:
    """Ray's workers look for modules in the working directory first.

    Raises:
        InputError: they would find another `dalr` there than this process runs.
    """
    own = Path(dalr.__file__)
    for path in (Path("dalr.py"), Path("dalr/__init__.py")):
        if path.is_file() and not path.samefile(own):
            raise InputError(
                f"{path.absolute()} would take the place of {own} in Ray's workers: rename it, or run the command in "
                "another folder"
            )


def _join(address: str, *, quiet: bool) -> None:
    place = recorded_address() if address == "auto" else address
    if place is None:
        raise InputError(
            f"no Ray cluster was started on this machine, and {argument('address')} or RAY_ADDRESS asks for it (auto)"
        )
    check_cluster(place)
    try:
        if not place.startswith("ray://"):
            check_token(place)
        ray.init(address=place, **_logging(quiet))
    except AuthenticationError as error:
        raise InputError(
            f"the Ray cluster at {place} wants another token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the "
            "cluster's token file"
        ) from error
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"cannot join the Ray cluster at {place}: {reason}") from error


def _start(cpus: int | None, *, dashboard: bool, quiet: bool) -> None:
    port = free_port()
    # No one drains this machine, and the watcher for it opens each run with an error line of Ray's.
    settings = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
    if dashboard:
        # Ray Train's cleaner asks the dashboard whether its run lives: without one it waits, with another
        # cluster's on the same port it frees resources that are in use, and of two clusters on one machine
        # it would not know which to ask.
        settings["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{port}"
    _require_token()
    with _environment(settings), _start_errors():
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=dashboard,
            dashboard_host="127.0.0.1",
            dashboard_port=port,
            **_logging(quiet),
        )


@contextmanager
def _start_errors() -> Iterator[None]:
    """Whatever Ray raises inside while it starts, which it does where a machine is too busy or a disk is full,
    becomes one line."""
    try:
        yield
    except Exception as error:
        # Ray quotes the log of the part that failed, whose last line says why.
        lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = " ... ".join(line[:200] for line in dict.fromkeys([lines[0], lines[-1]]))
        raise Failed(f"Ray did not start on this machine: {reason}; the same command tries again") from error


def _require_token() -> None:
    """Most of Ray's ports listen on every interface of a machine, and everyone who reaches one of them may run
    code: a cluster of our own needs a token too. Where the user has none, this process makes one and its children
    inherit it; Ray would leave it in a file. RAY_AUTH_MODE=disabled switches tokens off."""
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return
    has_file = (Path.home() / ".ray" / "auth_token").is_file()
    if not has_file and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    enable_tokens()


def _logging(quiet: bool) -> dict[str, Any]:
    return {"logging_level": logging.ERROR if quiet else logging.WARNING, "log_to_driver": not quiet}


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
