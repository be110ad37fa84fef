"""A Ray that dalr starts for itself: whoever reaches its ports must show its token."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = pytest.mark.cluster

LISTENING = """
import json, sys
import psutil, ray
from dalr.cluster.session import ray_session

with ray_session(cpus=1, quiet=True):
    @ray.remote
    def work():
        return 1
    assert ray.get(work.remote()) == 1
    own = psutil.Process()
    sockets = [
        (process.name(), connection.laddr.ip, connection.laddr.port)
        for process in [own, *own.children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    print(json.dumps([ray.get_runtime_context().gcs_address, sockets]), flush=True)
    sys.stdin.read()
"""

STRANGER = """
import sys
from dalr.cluster.session import ray_session
with ray_session(sys.argv[1]):
    print("inside")
"""


def test_whoever_reaches_its_ports_needs_the_token(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_A")} | {"HOME": str(tmp_path)}
    words = [sys.executable, "-c", LISTENING]
    with subprocess.Popen(words, cwd=ROOT, env=own, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        address, sockets = json.loads(process.stdout.readline())
        open_to_all = [(name, ip, port) for name, ip, port in sockets if not ip.startswith("127.")]
        assert any(name == "gcs_server" for name, _, _ in open_to_all), "Ray binds to loopback now: drop the token"
        answers = {
            (name, port, method, path): answer(f"http://{address.split(':')[0]}:{port}{path}", method)
            for name, _, port in open_to_all
            for method in ("GET", "POST")
            for path in ("/", "/api/job_agent/jobs/", "/get_or_create_runtime_env")
        }
        stranger = subprocess.run(
            [sys.executable, "-c", STRANGER, address],
            cwd=ROOT,
            env={**own, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        process.communicate("")
    assert process.returncode == 0
    # Each port speaks gRPC, which the token guards (the stranger tries), or refuses, or shows metrics alone.
    wrong = {place: text for place, text in answers.items() if not text.startswith(("refused", "grpc", "metrics"))}
    assert not wrong
    assert "inside" not in stranger.stdout
    assert "wants another token" in stranger.stderr
    assert not (tmp_path / ".ray" / "auth_token").exists()


def answer(url: str, method: str) -> str:
    """What a port answers to a request without a token, in a word."""
    request = urllib.request.Request(url, method=method, data=b"" if method == "POST" else None)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            body = response.read().decode()
            return "metrics" if all(line.startswith("#") or " " in line for line in body.splitlines()) else body
    except urllib.error.HTTPError as error:
        return "refused" if error.code in (401, 403, 405) else str(error.code)
    except HTTPException:
        return "grpc"  # no HTTP/1


def test_a_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from dalr.cluster.session import ray_session
    from dalr.errors import Failed

    def fail(**_: object) -> None:
        raise Exception("The current node timed out during startup.\n" + 400 * "of a log\n" + "no room is left\n")

    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    said = r"Ray did not start on this machine: The current node timed out during startup\. \.\.\. no room is left; "
    with pytest.raises(Failed, match=said) as caught, ray_session(quiet=True):
        pass
    assert "\n" not in str(caught.value)
