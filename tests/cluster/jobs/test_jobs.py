"""`dalr submit` against a real job server: a head node on the loopback interface."""

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import ray
import requests
import typer
from click.testing import Result
from typer.testing import CliRunner

from dalr.cluster.commands.submit import submit as submit_command
from dalr.cluster.preflight.resources import AUTOSCALES_TO, check, cluster_nodes, preflight
from dalr.config.schema import RunConfig
from dalr.errors import InputError, NotEnoughResources
from tests import ROOT
from tests.cluster.ray_node import Node, start_head

pytestmark = pytest.mark.cluster

# A package that answers to `python -m dalr` on the cluster: COMMAND SECONDS CODE.
STAND_IN = """
import os, signal, sys, time
name, seconds, code = sys.argv[1:]
def stop(number, frame):
    time.sleep(5)  # longer than Ray waits of itself before it kills
    print("checkpoint written", flush=True)
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
print("files", sorted(os.listdir(".")), flush=True)
for second in range(int(seconds)):
    print("second", second, flush=True)
    time.sleep(1)
sys.exit(int(code))
"""


@pytest.fixture
def work(tmp_path) -> Path:
    """A working directory with a stand-in for dalr and a file of secrets."""
    (tmp_path / "dalr").mkdir()
    (tmp_path / "dalr" / "__init__.py").touch()
    (tmp_path / "dalr" / "__main__.py").write_text(STAND_IN, encoding="utf-8")
    (tmp_path / ".env").write_text("PASSWORD=hunter2\n", encoding="utf-8")
    (tmp_path / "unique").write_text(str(tmp_path), encoding="utf-8")  # ids do not collide with other tests'
    return tmp_path


def submit(node: Node, *words: str, folder: Path | None = None) -> Result:
    """`dalr submit` in this process, told the address; RAY_ADDRESS names a server that is not there."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(submit_command)
    where = [] if folder is None else ["--working-dir", str(folder)]
    words = ("--address", node.dashboard, *where, *words)
    return CliRunner(env={"RAY_ADDRESS": "http://127.0.0.1:1"}).invoke(app, words)


def submit_apart(node: Node, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, which Ray's authentication mode needs: it is read once."""
    call = [sys.executable, "-m", "dalr", "submit", "--address", node.dashboard, *words]
    return subprocess.run(call, capture_output=True, text=True, timeout=120, env={**os.environ, **env}, cwd=ROOT)


def test_a_job_runs_once_streams_its_log_and_leaves_secrets_at_home(head, work):
    first = submit(head, "--", "hello", "2", "0", folder=work)
    assert first.exit_code == 0, first.stderr
    assert "files ['dalr', 'unique']" in first.stdout
    assert first.stdout.count("second 1\n") == 1
    assert ".env: credentials (.env*)" in first.stderr
    (name,) = re.findall(r"(dalr-[0-9a-f]{16}) succeeded", first.stderr)

    again = submit(head, "--", "hello", "2", "0", folder=work)
    assert again.exit_code == 0
    assert f"{name} has already succeeded" in again.stderr
    assert again.stdout == ""

    jobs = [job for job in requests.get(f"{head.dashboard}/api/jobs/").json() if job["submission_id"].startswith(name)]
    assert len(jobs) == 1
    assert jobs[0]["entrypoint"] == "python -m dalr hello 2 0"
    assert jobs[0]["metadata"]["dalr_command"] == "hello 2 0"
    assert "hunter2" not in str(jobs[0])
    assert _package_files(head, jobs[0]) == ["dalr/__init__.py", "dalr/__main__.py", "unique"]


def _package_files(node: Node, job: dict) -> list[str]:
    """The names in the package that the server keeps for a job, asked of Ray's own storage."""
    from ray._raylet import GcsClient

    uri = job["runtime_env"]["working_dir"]
    content = GcsClient(address=node.address).internal_kv_get(uri.encode(), None)
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return sorted(archive.namelist())


def test_the_exit_code_is_the_jobs_and_a_failed_job_is_tried_anew(head, work):
    first = submit(head, "--quiet", "--", "fail", "0", "7", folder=work)
    assert first.exit_code == 7
    assert "failed, exit code 7" in first.stderr
    second = submit(head, "--no-wait", "--", "fail", "0", "7", folder=work)
    assert second.exit_code == 0
    assert re.fullmatch(r"dalr-[0-9a-f]{16}-2", second.stdout.strip())


def test_a_running_job_is_joined_shown_and_stopped(head, work):
    sent = submit(head, "--no-wait", "--", "long", "100", "0", folder=work)
    name = sent.stdout.strip()
    assert re.fullmatch(r"dalr-[0-9a-f]{16}", name), sent.stderr
    joined = submit(head, "--no-wait", "--", "long", "100", "0", folder=work)
    assert joined.stdout.strip() == name
    assert f"{name} runs already" in joined.stderr

    _wait_until(lambda: requests.get(f"{head.dashboard}/api/jobs/{name}").json()["status"] == "RUNNING")
    shown = submit(head, "status", name)
    assert shown.exit_code == 0
    assert re.match(rf"{name}  running .* python -m dalr long 100 0", shown.stdout)
    assert name in submit(head, "status").stdout
    assert name in submit(head, "list").stdout
    _wait_until(lambda: "second 0\n" in submit(head, "--no-wait", "logs", name).stdout)

    stopped = submit(head, "stop", name)
    assert stopped.exit_code == 0, stopped.stderr
    assert f"{name}  stopped" in stopped.stdout
    assert "checkpoint written" in requests.get(f"{head.dashboard}/api/jobs/{name}/logs").json()["logs"]
    assert "stopped" in submit(head, "stop", name).stdout


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_real_dalr_command_runs_as_a_job(head, tmp_path):
    """Without a working directory of its own the job runs the installed dalr; bad input exits with 2."""
    done = submit(head, "--", "data", "check", "/no/such/folder", folder=tmp_path)
    assert done.exit_code == 2, done.stdout + done.stderr
    assert "no such folder: /no/such/folder" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unknown_job_is_bad_input(head):
    with pytest.raises(InputError, match="no job dalr-none on this cluster"):
        raise submit(head, "status", "dalr-none").exception or AssertionError("it was found")


def test_preflight_asks_the_connected_cluster(head, monkeypatch):
    ray.init(address=head.address, logging_level=logging.ERROR, log_to_driver=False)
    try:
        (node,) = cluster_nodes()
        assert node["CPU"] == 2
        assert node["memory"] > 0
        check({"CPU": 1}, 2)
        with pytest.raises(NotEnoughResources, match="3 workers of 1 CPU make 3 CPU, and the cluster has 2 CPU in all"):
            check({"CPU": 1}, 3)
        with pytest.raises(NotEnoughResources, match="not enough GPU"):
            preflight(RunConfig(), {"CPU": 1, "GPU": 1}, 1)
        monkeypatch.setenv(AUTOSCALES_TO, '[{"count": 3, "CPU": 1}]')
        check({"CPU": 1}, 5)
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_a_cluster_with_tokens_wants_the_right_one(tmp_path, work):
    token, wrong = tmp_path / "auth_token", tmp_path / "other_token"
    token.write_text("a" * 64, encoding="utf-8")
    wrong.write_text("b" * 64, encoding="utf-8")
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    folder = Path(tempfile.mkdtemp(prefix="dalr-"))
    node = start_head(folder, env=env)
    try:
        refused = submit_apart(node, "status", **{**env, "RAY_AUTH_TOKEN_PATH": str(wrong)})
        assert refused.returncode == 2, refused.stderr
        assert "RAY_AUTH_TOKEN_PATH" in refused.stderr
        assert submit_apart(node, "status", RAY_AUTH_MODE="disabled").returncode == 2
        script = "import typer; from dalr.cluster.commands.submit import submit; typer.run(submit)"
        words = ["--address", node.dashboard, "--working-dir", str(work), "--", "hello", "0", "0"]
        call = [sys.executable, "-c", script, *words]
        done = subprocess.run(call, capture_output=True, text=True, timeout=120, env={**os.environ, **env}, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert "files ['dalr', 'unique']" in done.stdout
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
