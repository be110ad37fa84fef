"""Runs a `dalr` command as a Ray job: packaged, named by its content, sent once, followed to its end.

A job's name comes from its command and its package. Ray never retries a job and forgets all of them
with the cluster, but `dalr`'s commands resume: sending a job again is how it goes on.
"""

import hashlib
import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dalr.cluster.jobs.package import Package
from dalr.cluster.storage.filesystems import location
from dalr.errors import InputError
from dalr.yaml_text import parse_yaml

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

COMMIT_VARIABLE = "DALR_COMMIT"
START_PATIENCE = 90.0
"""Seconds that a cluster gets to come up before a job is given up."""


@dataclass(frozen=True)
class Job:
    """A `dalr` command (its words, without `dalr`) and what it takes along."""

    command: tuple[str, ...]
    package: Package

    @property
    def id(self) -> str:
        """The submission id of the first attempt: the same for the same command and files."""
        identity = json.dumps([self.command, self.package.digest()])
        return "dalr-" + hashlib.sha256(identity.encode()).hexdigest()[:16]

    @property
    def entrypoint(self) -> str:
        """The shell command that the cluster runs, every word quoted."""
        return shlex.join(["python", "-m", "dalr", *self.command])


@dataclass(frozen=True)
class Sending:
    """What is done with a job: run it under a new id, follow the one that runs, or nothing."""

    action: Literal["submit", "attach", "done"]
    submission_id: str


def checked_command(words: Sequence[str]) -> tuple[str, ...]:
    """The words of a `dalr` command that can run on a cluster.

    Raises:
        InputError: no words; `dalr` or `submit` itself as the first; an `--out` that would lie in the
            job's own copy of the working directory and vanish with it, or a URI that is malformed or holds keys.
    """
    if not words:
        raise InputError("nothing to submit; expected a command, for example: dalr submit -- train dalr --out /nfs/a")
    if words[0] in ("dalr", "python", "submit"):
        raise InputError(
            f"cannot submit {shlex.join(words[:2])!r}: name a dalr command by itself, for example: "
            "dalr submit -- train dalr --out /nfs/a"
        )
    for word, following in zip(words, [*words[1:], ""], strict=True):
        out = following if word == "--out" else word.removeprefix("--out=") if word.startswith("--out=") else None
        if out is not None and not out.startswith("/") and "://" not in out:
            raise InputError(
                f"--out {out}: a relative path lies in the job's own copy of the working directory, which is lost; "
                "give shared storage, such as /nfs/runs/a or s3://bucket/runs/a"
            )
        if out is not None and "://" in out:
            location(out)  # a command line is shown on the cluster's dashboard: keys in it are refused
    return tuple(words)


def attempts(jobs: Sequence["JobDetails"], job_id: str) -> list["JobDetails"]:
    """The jobs that are attempts at `job_id`, in order: `dalr-a`, `dalr-a-2`, `dalr-a-3`."""
    numbered = [(_attempt_number(job.submission_id or "", job_id), job) for job in jobs]
    return [job for number, job in sorted(((n, j) for n, j in numbered if n), key=lambda pair: pair[0])]


def _attempt_number(submission_id: str, job_id: str) -> int:
    if submission_id == job_id:
        return 1
    suffix = submission_id.removeprefix(job_id + "-")
    return int(suffix) if suffix != submission_id and suffix.isdigit() else 0


def next_sending(jobs: Sequence["JobDetails"], job_id: str, *, again: bool = False) -> Sending:
    """What to do about a job, given all the jobs that the server knows. One that runs is followed, one
    that succeeded is done (unless `again`), one that failed or was stopped is tried once more."""
    made = attempts(jobs, job_id)
    if not made:
        return Sending("submit", job_id)
    last = made[-1]
    last_id = str(last.submission_id)
    if not last.status.is_terminal():
        return Sending("attach", last_id)
    if last.status == "SUCCEEDED" and not again:
        return Sending("done", last_id)
    return Sending("submit", f"{job_id}-{_attempt_number(last_id, job_id) + 1}")


def send(client: "JobSubmissionClient", job: Job, *, again: bool = False) -> Sending:
    """Sends the job, unless it runs or has succeeded; says what was done.

    Raises:
        RuntimeError: the server refuses the job.
    """
    step = next_sending(client.list_jobs(), job.id, again=again)
    if step.action != "submit":
        return step
    try:
        _submit(client, job, step.submission_id)
    except RuntimeError:
        # Someone else may have sent the same job between the question and the answer.
        now = next_sending(client.list_jobs(), job.id)
        if now == step or now.action == "submit":
            raise
        return now
    return step


def _submit(client: "JobSubmissionClient", job: Job, submission_id: str) -> None:
    deadline = time.monotonic() + START_PATIENCE
    while True:
        try:
            with tempfile.TemporaryDirectory() as folder:
                client.submit_job(
                    entrypoint=job.entrypoint,
                    submission_id=submission_id,
                    runtime_env=_runtime_env(job.package, Path(folder)),
                    metadata=metadata(job),
                    # A GPU that the driver held would be one that no worker could use.
                    entrypoint_num_gpus=0,
                )
            return
        except RuntimeError as error:
            # A head node that has just come up takes jobs a little later than it answers.
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(2.0)


def packaged_runtime_env() -> dict[str, Any]:
    """The packaged runtime_env.yaml."""
    text = resources.files("dalr.cluster").joinpath("manifests/runtime_env.yaml").read_text(encoding="utf-8")
    return parse_yaml(text, "runtime_env.yaml")


def _runtime_env(package: Package, folder: Path) -> dict[str, Any]:
    env = packaged_runtime_env()
    sha = git_sha(package.root)
    if sha:
        # The package has no .git: a run's provenance learns its commit from here.
        env["env_vars"][COMMIT_VARIABLE] = sha
    if package.entries:
        archive = folder / "package.zip"
        package.write(archive)
        env["working_dir"] = str(archive)
    return env


def metadata(job: Job) -> dict[str, str]:
    """What the job server keeps beside a job: command, package, and the commit of the folder, with
    `-dirty` where tracked files differ from it."""
    values = {"dalr_command": shlex.join(job.command), "package_sha256": job.package.digest()}
    sha = git_sha(job.package.root)
    return {**values, "git_sha": sha} if sha else values


def git_sha(folder: Path) -> str | None:
    """The folder's commit; None outside of a repository or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("-dirty" if changes else "")


def _git(folder: Path, *words: str) -> str:
    answer = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def latest(client: "JobSubmissionClient", job_id: str) -> "JobDetails":
    """The newest attempt at `job_id`, or the very attempt that it names.

    Raises:
        InputError: the server knows no such job.
    """
    jobs = client.list_jobs()
    made = attempts(jobs, job_id)
    if made:
        return made[-1]
    known = [job.submission_id for job in jobs if (job.submission_id or "").startswith("dalr-")]
    hint = f"known: {', '.join(str(name) for name in known)}" if known else "it knows no jobs of dalr"
    raise InputError(f"no job {job_id} on this cluster; {hint}")
