"""Talks to a cluster's job server: finds it, follows a job's log to the end, stops a job."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dalr.cluster.probe import check_server
from dalr.errors import InputError

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
"""Where a port-forward or an SSH tunnel to a dashboard ends."""
RETRY = 1.0
"""Seconds between a lost connection and the next attempt."""
PATIENCE = 120.0
"""Seconds without an answer from the job server after which following a job is given up."""


def server_address(named: str | None) -> str:
    """The job server's address: `named`, else RAY_API_SERVER_ADDRESS, else RAY_ADDRESS, else this
    machine's port 8265."""
    return named or next((os.environ[name] for name in ADDRESS_VARIABLES if os.environ.get(name)), DEFAULT_ADDRESS)


def connect(address: str) -> "JobSubmissionClient":
    """A client of the job server at `address`.

    Raises:
        InputError: nothing answers there, or it does not accept the token.
    """
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for name in ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)
    check_server(address)
    try:
        with _only_address(address):
            return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise InputError(
            f"the job server at {address} wants another token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to "
            "the cluster's token file"
        ) from error
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # another server's page, or an older Ray's
        raise InputError(f"{address} is not a Ray job server: {' '.join(str(error).split())[:200]}") from error


@contextmanager
def _only_address(address: str) -> Iterator[None]:
    """Ray lets the environment overrule the address it is given; here the given one counts."""
    before = os.environ.get(ADDRESS_VARIABLES[0])
    os.environ[ADDRESS_VARIABLES[0]] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[ADDRESS_VARIABLES[0]]
        else:
            os.environ[ADDRESS_VARIABLES[0]] = before


class _Log:
    """Passes a job's log on, each character once: a new connection starts from the first line again."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self.written = 0

    async def follow(self, client: "JobSubmissionClient", submission_id: str) -> None:
        position = 0
        async for text in client.tail_job_logs(submission_id):
            new = text[max(0, self.written - position) :]
            position += len(text)
            if new:
                self.write(new)
                self.written = position


def follow(client: "JobSubmissionClient", submission_id: str, write: Callable[[str], None]) -> "JobDetails":
    """Streams a job's log to `write` until the job has ended. A lost connection is taken up again.

    Raises:
        ConnectionError: the server has not answered for two minutes; the job is not affected.
    """
    import aiohttp
    import requests

    log = _Log(write)
    heard = time.monotonic()
    while True:
        try:
            asyncio.run(log.follow(client, submission_id))
            info = client.get_job_info(submission_id)
            if info.status.is_terminal():
                return info
            heard = time.monotonic()
        except (aiohttp.ClientError, requests.RequestException, RuntimeError, OSError) as error:
            if time.monotonic() - heard > PATIENCE:
                raise ConnectionError(f"no answer from the job server for {PATIENCE:.0f} s: {error}") from error
        time.sleep(RETRY)


def exit_code(info: "JobDetails") -> int:
    """The job's own exit code, as a shell would give it: 128 + n after signal n; 1 where the job was
    stopped or never came to run."""
    if info.status == "SUCCEEDED":
        return 0
    code = info.driver_exit_code
    if code is None or code == 0:
        return 1
    return 128 - code if code < 0 else code


def reason(info: "JobDetails") -> str:
    """What the server says about a job's state, without the log that it appends."""
    return (info.message or "no message").split(", last available logs")[0].strip()


_MISSING = re.compile(r"No module named '?([\w.]+)'?")


def missing_module(info: "JobDetails") -> str | None:
    """The module for the lack of which a job's command could not start; None where it failed otherwise."""
    match = _MISSING.search((info.message or "").split(", last available logs")[-1])
    return match[1] if match and info.status == "FAILED" else None


def stop(client: "JobSubmissionClient", submission_id: str, *, wait: float) -> "JobDetails":
    """Asks a job to stop, and waits at most `wait` seconds until it has."""
    client.stop_job(submission_id)
    deadline = time.monotonic() + wait
    while True:
        info = client.get_job_info(submission_id)
        if info.status.is_terminal() or time.monotonic() > deadline:
            return info
        time.sleep(0.5)
