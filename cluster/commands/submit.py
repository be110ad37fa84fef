"""The command `dalr submit`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dalr.errors import InputError

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

    from dalr.cluster.jobs.package import Package
    from dalr.cluster.jobs.submit import Job

JOB_COMMANDS = ("list", "status", "logs", "stop")
"""First words that ask about jobs; every other one is a command to be sent."""
LARGEST_LIMIT_MIB = 512  # the largest message that Ray's own storage accepts


def submit(
    words: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND", help="A dalr command, after --; or: list, status ID, logs ID, stop ID."),
    ],
    address: Annotated[
        str | None,
        typer.Option(help="The cluster's dashboard. Default: RAY_API_SERVER_ADDRESS, RAY_ADDRESS, port 8265 here."),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once the job is sent (or asked to stop).")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be sent.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run a job anew that has already succeeded.")] = False,
    working_dir: Annotated[Path, typer.Option(help="The folder that the job takes along.")] = Path(),
    limit_mib: Annotated[
        int, typer.Option(help="Refuse to send more than this many MiB.", min=1, max=LARGEST_LIMIT_MIB)
    ] = 100,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the job's own output only.")] = False,
) -> None:
    """Run a dalr command as a Ray job, and follow it to its end.

    The command line is checked here first. The working directory goes along: what .gitignore and .rayignore
    name, and credentials, stay behind. The same command with the same files is one job: while it runs,
    submitting it again follows it; when it has failed or was stopped, submitting it again resumes it. The
    exit code is the job's.

    Examples:

        dalr submit -- train dalr train.steps=1000 --out /nfs/runs/a --workers 8

        dalr submit --no-wait -- sweep sweep.yaml --out /nfs/sweeps/a

        dalr submit list

        dalr submit logs dalr-0123456789abcdef (status and stop likewise)
    """
    first, *rest = words
    if first == "list":
        _list(rest, address)
    elif first == "status":
        _status(rest, address)
    elif first == "logs":
        raise typer.Exit(_logs(rest, address, wait=not no_wait))
    elif first == "stop":
        _stop(rest, address, no_wait=no_wait)
    else:
        raise typer.Exit(
            _send(
                words,
                address,
                working_dir=working_dir,
                limit=limit_mib * 2**20,
                wait=not no_wait,
                dry_run=dry_run,
                again=again,
                quiet=quiet,
            )
        )


def _send(
    words: list[str],
    address: str | None,
    *,
    working_dir: Path,
    limit: int,
    wait: bool,
    dry_run: bool,
    again: bool,
    quiet: bool,
) -> int:
    from dalr.cluster.jobs.client import connect, server_address
    from dalr.cluster.jobs.package import collect
    from dalr.cluster.jobs.submit import Job, checked_command, send

    job = Job(checked_command(words), collect(working_dir, limit=limit))
    if dry_run:
        typer.echo(_preview(job))
        return 0
    if not quiet:
        typer.echo(_preview(job), err=True)
    server = server_address(address)
    client = connect(server)
    try:
        step = send(client, job, again=again)
    except RuntimeError as error:
        _say(f"{server} refuses the job: {' '.join(str(error).split())[:500]}", quiet=False)
        return 1
    if step.action == "done":
        _say(f"{step.submission_id} has already succeeded; nothing to do (--again runs it anew)", quiet)
        return 0
    verb = "runs already" if step.action == "attach" else "sent"
    _say(f"{step.submission_id} {verb} at {server}", quiet)
    if not wait:
        if not quiet:
            typer.echo(step.submission_id)
        return 0
    return _follow(client, step.submission_id, quiet=quiet)


def _follow(client: "JobSubmissionClient", submission_id: str, *, quiet: bool) -> int:
    from dalr.cluster.jobs.client import exit_code, follow, missing_module, reason

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        info = follow(client, submission_id, write)
    except KeyboardInterrupt:
        _say(f"the job goes on; end it with: dalr submit stop {submission_id}", quiet=False)
        return 130
    except ConnectionError as error:
        _say(f"{error}; the job goes on, the same command follows it again", quiet=False)
        return 1
    code = exit_code(info)
    if code:
        _say(f"{submission_id} {str(info.status).lower()}, exit code {code}: {reason(info)}", quiet=False)
        if module := missing_module(info):
            _say(
                f"the cluster's Python has no module {module}: install dalr on every node (docs/cluster.md), or bring "
                "the cluster up with dalr's image",
                quiet=False,
            )
    else:
        _say(f"{submission_id} succeeded", quiet)
    return code


def _say(line: str, quiet: bool) -> None:
    if not quiet:
        typer.echo(line, err=True)


def _preview(job: "Job") -> str:
    package = job.package
    lines = [f"job {job.id}: {job.entrypoint}", *_package_lines(package)]
    return "\n".join(lines)


def _package_lines(package: "Package") -> list[str]:
    from dalr.cluster.jobs.package import mib

    if not package.entries:
        lines = [f"{package.root}: no files to send; the job runs the dalr that the cluster has installed"]
    else:
        lines = [f"{package.root}: {len(package.entries)} files, {mib(package.size)}; the largest:"]
        lines += [f"  {mib(entry.size):>9}  {entry.path}" for entry in package.largest()]
    if package.left_out:
        lines.append("left out:")
        lines += [f"  {item.path}: {item.reason}" for item in package.left_out]
    return lines


def _list(ids: list[str], address: str | None) -> None:
    from dalr.cluster.jobs.client import connect, server_address

    if ids:
        raise InputError(f"list: shows all jobs of dalr, without an id; one job: dalr submit status {ids[0]}")
    jobs = [
        job for job in connect(server_address(address)).list_jobs() if (job.submission_id or "").startswith("dalr-")
    ]
    for job in sorted(jobs, key=lambda job: job.start_time or 0):
        typer.echo(_describe(job, whole=False))
    if not jobs:
        typer.echo("no jobs of dalr on this cluster")


def _job(asked: str, ids: list[str], address: str | None) -> "tuple[JobSubmissionClient, JobDetails]":
    """The server, and the newest attempt at the one job that is named."""
    from dalr.cluster.jobs.client import connect, server_address
    from dalr.cluster.jobs.submit import latest

    if len(ids) != 1:
        raise InputError(f"{asked}: expected one job id, for example: dalr submit {asked} dalr-0123456789abcdef")
    client = connect(server_address(address))
    return client, latest(client, ids[0])


def _status(ids: list[str], address: str | None) -> None:
    if not ids:
        _list(ids, address)
        return
    _, info = _job("status", ids, address)
    typer.echo(_describe(info, whole=True))


def _logs(ids: list[str], address: str | None, *, wait: bool) -> int:
    """Prints a job's log; of one that runs (unless not `wait`) to its end, with its exit code."""
    client, info = _job("logs", ids, address)
    if wait and not info.status.is_terminal():
        return _follow(client, str(info.submission_id), quiet=True)
    sys.stdout.write(client.get_job_logs(str(info.submission_id)))
    return 0


def _stop(ids: list[str], address: str | None, *, no_wait: bool) -> None:
    from dalr.cluster.jobs.client import stop
    from dalr.cluster.jobs.submit import packaged_runtime_env

    client, info = _job("stop", ids, address)
    if info.status.is_terminal():
        typer.echo(_describe(info, whole=False))
        return
    grace = float(packaged_runtime_env()["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"])
    info = stop(client, str(info.submission_id), wait=0.0 if no_wait else grace + 30.0)
    typer.echo(_describe(info, whole=False))
    if not no_wait and not info.status.is_terminal():
        raise typer.Exit(1)


def _describe(info: "JobDetails", *, whole: bool) -> str:
    line = f"{info.submission_id}  {str(info.status).lower():9}  {_time(info.start_time)}  {info.entrypoint}"
    if not whole:
        return line
    from dalr.cluster.jobs.client import reason

    details = {
        "ended": _time(info.end_time) if info.end_time else None,
        "exit code": info.driver_exit_code,
        "message": reason(info),
        "git": (info.metadata or {}).get("git_sha"),
    }
    return "\n".join([line, *(f"  {name}: {value}" for name, value in details.items() if value is not None)])


def _time(milliseconds: int | None) -> str:
    if not milliseconds:
        return "not started"
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
