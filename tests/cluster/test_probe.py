"""An address where no cluster is: one line, within seconds, whatever is there in its place."""

import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import ray

from dalr.cluster import probe, session
from dalr.cluster.jobs.client import connect
from dalr.cluster.ray_internals import TESTED
from dalr.cluster.session import check_import_name, ray_session
from dalr.errors import InputError
from tests import ROOT


@contextmanager
def nothing() -> Iterator[int]:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener.getsockname()[1]


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def web() -> Iterator[int]:
    """A web server that has the same page under every name."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, *words: object) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No patience, and a Ray that must not be asked."""
    monkeypatch.setattr(probe, "SECONDS", 0.5)

    def refused(**settings: object) -> None:
        raise AssertionError("ray.init waits for minutes")

    monkeypatch.setattr(ray, "init", refused)


@pytest.mark.parametrize(
    ("there", "scheme", "message"),
    [
        (nothing, "", r"no Ray cluster answers at 127\.0\.0\.1:\d+ \(.*refused.*\); check RAY_ADDRESS or address"),
        (nothing, "ray://", r"no Ray cluster answers at ray://127\.0\.0\.1:\d+ \(.*refused"),
        (silent, "", r"what answers at 127\.0\.0\.1:\d+ is not a Ray cluster"),
        (web, "", r"what answers at 127\.0\.0\.1:\d+ is not a Ray cluster"),
        (web, "http://", "is not the address of a Ray cluster, but http: expected HOST:6379"),
    ],
)
def test_a_cluster_that_is_not_there(
    there: Callable, scheme: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with there() as port:
        monkeypatch.setenv("RAY_ADDRESS", f"{scheme}127.0.0.1:{port}")
        with pytest.raises(InputError, match=message) as caught, ray_session():
            pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["no-such-host.invalid:6379", "no-such-host.invalid"])
def test_a_host_that_has_no_address(address: str) -> None:
    with pytest.raises(InputError, match=f"no Ray cluster answers at {re.escape(address)} "):
        probe.check_cluster(address)


@pytest.mark.parametrize("address", ["127.0.0.1:port", ":6379", "127.0.0.1:99999999"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(InputError, match="expected HOST:PORT"):
        probe.check_cluster(address)


def test_a_cluster_that_was_started_here_and_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with nothing() as port:
        monkeypatch.setattr(session, "recorded_address", lambda: f"127.0.0.1:{port}")
        with pytest.raises(InputError, match=f"no Ray cluster answers at 127.0.0.1:{port}"), ray_session("auto"):
            pass
    monkeypatch.setattr(session, "recorded_address", lambda: None)
    with pytest.raises(InputError, match="no Ray cluster was started on this machine"), ray_session("auto"):
        pass


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (nothing, r"no job server answers at http://127\.0\.0\.1:\d+ \(.*refused.*\); expected the address of a Ray"),
        (silent, r"no job server answers at http://127\.0\.0\.1:\d+ \(.*timed out"),
        (web, "is not a Ray job server"),
    ],
)
def test_a_job_server_that_is_not_there(there: Callable, message: str) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(there())
        with pytest.raises(InputError, match=message) as caught:
            connect(f"http://127.0.0.1:{port}")
    assert "\n" not in str(caught.value)


def test_nobody_else_joins_a_cluster() -> None:
    """What does not go through `ray_session` would not be probed."""
    folders = [ROOT / name for name in ("dalr", "cluster", "sweeps", "reports")]
    callers = {path.name for folder in folders for path in folder.rglob("*.py") if "ray.init(" in path.read_text()}
    assert callers == {"session.py"}


def test_another_dalr_in_the_working_directory_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    check_import_name()
    monkeypatch.chdir(tmp_path)
    check_import_name()
    (tmp_path / "dalr.py").touch()
    with pytest.raises(InputError, match=r"dalr\.py would take the place of .*: rename it"), ray_session():
        pass
    (tmp_path / "dalr.py").unlink()
    (tmp_path / "dalr").mkdir()
    (tmp_path / "dalr" / "__init__.py").touch()
    with pytest.raises(InputError, match="would take the place of"):
        check_import_name()


def test_the_names_that_ray_does_not_promise_are_those_that_were_read() -> None:
    assert ray.__version__ == TESTED, "read cluster/ray_internals.py again beside this release of Ray"
