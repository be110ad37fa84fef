"""Names, decisions and refusals of `dalr submit`, without a cluster."""

import re
import shlex
import subprocess
from types import SimpleNamespace

import pytest
import typer
from ray.job_submission import JobStatus
from typer.testing import CliRunner

from dalr.cluster.commands.submit import submit
from dalr.cluster.jobs import client as job_server
from dalr.cluster.jobs import submit as submitting
from dalr.cluster.jobs.client import DEFAULT_ADDRESS, connect, exit_code, follow, missing_module, reason, server_address
from dalr.cluster.jobs.package import MIB, collect
from dalr.cluster.jobs.submit import Job, attempts, checked_command, git_sha, latest, metadata, next_sending, send
from dalr.errors import InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    return tmp_path


def job(folder, *words: str) -> Job:
    return Job(words, collect(folder, limit=MIB))


def details(submission_id: str, status: str, **values):
    """What the server tells about a job, as far as the code asks."""
    return SimpleNamespace(
        submission_id=submission_id, status=JobStatus(status), **{"driver_exit_code": None, "message": None, **values}
    )


def test_the_same_command_and_files_have_the_same_id(folder):
    first = job(folder, "train", "dalr")
    assert re.fullmatch(r"dalr-[0-9a-f]{16}", first.id)
    assert job(folder, "train", "dalr").id == first.id
    assert job(folder, "train dalr").id != first.id
    (folder / "a.py").write_text("x = 2")
    assert job(folder, "train", "dalr").id != first.id


def test_every_word_of_the_entrypoint_is_quoted(folder):
    words = ("train", "a b; rm -rf /", "$HOME", "x='1'", "--report")
    assert shlex.split(job(folder, *words).entrypoint) == ["python", "-m", "dalr", *words]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to submit"),
        (["dalr", "train"], "name a dalr command by itself"),
        (["submit", "train"], "name a dalr command by itself"),
        (["train", "dalr", "--out", "runs/a"], "--out runs/a: a relative path"),
        (["train", "dalr", "--out=runs/a"], "--out runs/a: a relative path"),
        (["train", "dalr", "--out"], "--out : a relative path"),
    ],
)
def test_commands_that_cannot_run_there_are_refused(words, message):
    with pytest.raises(InputError, match=re.escape(message)):
        checked_command(words)


@pytest.mark.parametrize("out", ["/nfs/a", "s3://bucket/a", "gs://bucket/a"])
def test_shared_storage_is_accepted(out):
    assert checked_command(["train", "dalr", "--out", out]) == ("train", "dalr", "--out", out)
    assert checked_command(["train", f"--out={out}"])


@pytest.mark.parametrize(
    ("states", "again", "expected"),
    [
        ([], False, ("submit", "dalr-a")),
        (["PENDING"], False, ("attach", "dalr-a")),
        (["RUNNING"], True, ("attach", "dalr-a")),
        (["SUCCEEDED"], False, ("done", "dalr-a")),
        (["SUCCEEDED"], True, ("submit", "dalr-a-2")),
        (["FAILED"], False, ("submit", "dalr-a-2")),
        (["STOPPED", "FAILED"], False, ("submit", "dalr-a-3")),
        (["FAILED", "RUNNING"], False, ("attach", "dalr-a-2")),
        (["FAILED", "SUCCEEDED"], False, ("done", "dalr-a-2")),
    ],
)
def test_what_sending_comes_to(states, again, expected):
    names = ["dalr-a", "dalr-a-2"]
    jobs = [details(name, state) for name, state in zip(names, states, strict=False)]
    others = [details("dalr-ab", "RUNNING"), details("dalr-a-x", "RUNNING"), details(None, "RUNNING")]
    step = next_sending([*others, *reversed(jobs)], "dalr-a", again=again)
    assert (step.action, step.submission_id) == expected


def test_attempts_are_ordered_by_number():
    jobs = [details(f"dalr-a-{n}", "FAILED") for n in (10, 2, 9)] + [details("dalr-a", "FAILED")]
    assert [job.submission_id for job in attempts(jobs, "dalr-a")] == ["dalr-a", "dalr-a-2", "dalr-a-9", "dalr-a-10"]


class Server:
    """A job server on which someone else sends the same job just before us."""

    def __init__(self, rival: str | None) -> None:
        self.jobs, self.rival = [], rival

    def list_jobs(self):
        return list(self.jobs)

    def submit_job(self, *, submission_id: str, **_request):
        if self.rival:
            self.jobs.append(details(submission_id, self.rival))
            raise RuntimeError(f"Job with submission_id {submission_id} already exists")
        raise RuntimeError("the server is full")


def test_a_rival_who_was_faster_is_joined(folder):
    assert send(Server("RUNNING"), job(folder, "train")).action == "attach"
    assert send(Server("SUCCEEDED"), job(folder, "train")).action == "done"


def test_a_real_refusal_is_passed_on(folder):
    with pytest.raises(RuntimeError, match="full"):
        send(Server(None), job(folder, "train"))


class Starting(Server):
    """A job server whose node takes jobs from the third request on."""

    requests = 0

    def submit_job(self, *, submission_id: str, **request):
        self.requests += 1
        if self.requests < 3:
            raise RuntimeError("Request failed with status code 500: No available agent to submit job")
        self.jobs.append(details(submission_id, "PENDING"))
        self.request = request


def test_a_cluster_that_comes_up_is_waited_for(folder, monkeypatch):
    monkeypatch.setattr(submitting.time, "sleep", lambda seconds: None)
    server = Starting(None)
    assert send(server, job(folder, "train")).action == "submit"
    assert server.requests == 3
    assert server.request["entrypoint_num_gpus"] == 0
    assert server.request["runtime_env"]["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == "120"


def test_it_is_not_waited_for_without_end(folder, monkeypatch):
    monkeypatch.setattr(submitting, "START_PATIENCE", -1.0)
    server = Starting(None)
    with pytest.raises(RuntimeError, match="No available agent"):
        send(server, job(folder, "train"))
    assert server.requests == 1


def test_the_address_is_the_named_one_then_the_environments(monkeypatch):
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert server_address(None) == DEFAULT_ADDRESS
    monkeypatch.setenv("RAY_ADDRESS", "http://b:1")
    assert server_address(None) == "http://b:1"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://a:1")
    assert server_address(None) == "http://a:1"
    assert server_address("http://c:1") == "http://c:1"


def test_nobody_there_is_an_input_error_that_names_the_address_given(monkeypatch):
    """Ray would let RAY_ADDRESS overrule the address."""
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:2")
    with pytest.raises(InputError, match=r"no job server answers at http://127\.0\.0\.1:1 \(.*refused.*\);"):
        connect("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [("SUCCEEDED", 0, 0), ("FAILED", 2, 2), ("FAILED", -9, 137), ("FAILED", None, 1), ("STOPPED", None, 1)],
)
def test_exit_codes_are_a_shells(status, code, expected):
    assert exit_code(details("x", status, driver_exit_code=code)) == expected


@pytest.mark.parametrize(
    ("log", "module"),
    [
        ("/usr/bin/python: No module named dalr\n", "dalr"),
        ("Traceback (most recent call last):\nModuleNotFoundError: No module named 'torch'\n", "torch"),
        ("dalr: unknown recipe 'x'\n", None),
    ],
)
def test_a_cluster_whose_python_has_no_dalr(log, module):
    message = f"Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n{log}"
    assert missing_module(details("x", "FAILED", message=message, driver_exit_code=1)) == module


def test_a_reason_does_not_repeat_the_log():
    message = "Job entrypoint command failed with exit code 1, last available logs (truncated):\nlong"
    assert reason(details("x", "FAILED", message=message)) == "Job entrypoint command failed with exit code 1"
    assert reason(details("x", "FAILED")) == "no message"


class Broken:
    """A job server whose log connection breaks twice; each connection starts from the first line."""

    log = ("one\n", "two\n", "three\n", "four\n")

    def __init__(self) -> None:
        self.connections = 0

    async def tail_job_logs(self, _submission_id):
        self.connections += 1
        for line in self.log[: self.connections + 1]:
            yield line
        if self.connections < 3:
            raise RuntimeError("WebSocket connection closed unexpectedly")

    def get_job_info(self, submission_id):
        return details(submission_id, "SUCCEEDED")


def test_a_broken_connection_repeats_no_line(monkeypatch):
    monkeypatch.setattr(job_server, "RETRY", 0.01)
    written: list[str] = []
    info = follow(Broken(), "dalr-a", written.append)
    assert info.status == "SUCCEEDED"
    assert "".join(written) == "one\ntwo\nthree\nfour\n"


class Gone(Broken):
    async def tail_job_logs(self, _submission_id):
        raise ConnectionError("refused")
        yield


def test_a_server_that_stays_away_is_given_up(monkeypatch):
    monkeypatch.setattr(job_server, "RETRY", 0.01)
    monkeypatch.setattr(job_server, "PATIENCE", 0.1)
    with pytest.raises(ConnectionError, match="no answer from the job server"):
        follow(Gone(), "dalr-a", print)


def test_an_unknown_job_names_the_known_ones():
    server = Server(None)
    with pytest.raises(InputError, match="it knows no jobs of dalr"):
        latest(server, "dalr-a")
    server.jobs = [details("dalr-b", "RUNNING"), details("raysubmit_1", "RUNNING")]
    with pytest.raises(InputError, match=r"no job dalr-a on this cluster; known: dalr-b$"):
        latest(server, "dalr-a")


def test_metadata_name_the_commit_and_whether_files_differ_from_it(folder):
    assert git_sha(folder) is None
    assert "git_sha" not in metadata(job(folder, "train"))
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    sha = metadata(job(folder, "train"))["git_sha"]
    assert re.fullmatch(r"[0-9a-f]{40}", sha)
    (folder / "a.py").write_text("x = 2")
    assert git_sha(folder) == f"{sha}-dirty"


@pytest.fixture
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(submit)

    def call(*words: str):
        return CliRunner().invoke(app, list(words))

    return call


def test_a_dry_run_shows_what_would_be_sent_and_needs_no_cluster(command, folder):
    (folder / ".env").write_text("A=1")
    shown = command("--dry-run", "--working-dir", str(folder), "--", "train", "dalr", "--out", "/nfs/a")
    assert shown.exit_code == 0
    assert "python -m dalr train dalr --out /nfs/a" in shown.stdout
    assert "1 files, 0 KiB" in shown.stdout
    assert ".env: credentials (.env*)" in shown.stdout


def test_a_dry_run_of_nothing_says_what_will_run(command, tmp_path):
    assert (
        "the job runs the dalr that the cluster has" in command("--dry-run", "--working-dir", str(tmp_path), "x").stdout
    )


def test_a_refusal_by_the_server_is_one_line(command, folder, monkeypatch):
    monkeypatch.setattr(job_server, "connect", lambda address: Server(None))
    done = command("--working-dir", str(folder), "--", "train")
    assert done.exit_code == 1
    assert "refuses the job: the server is full" in done.stderr
    assert not isinstance(done.exception, RuntimeError)


@pytest.mark.parametrize(
    "words",
    [["status", "a", "b"], ["stop"], ["stop", "a", "b"], ["logs"], ["list", "a"], ["train", "--", "--out", "a"]],
)
def test_bad_words_are_input_errors(command, words):
    assert isinstance(command(*words).exception, InputError)


def test_the_limit_is_in_mib(command, folder):
    (folder / "big").write_bytes(b"\0" * 2 * MIB)
    words = ["--dry-run", "--working-dir", str(folder), "--", "train"]
    assert isinstance(command("--limit-mib", "1", *words).exception, InputError)
    assert command("--limit-mib", "3", *words).exit_code == 0
    assert command("--limit-mib", "513", *words).exit_code == 2
