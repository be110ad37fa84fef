"""Asks whether anything answers at a cluster's address, within seconds: Ray itself tries again for minutes,
behind warnings of its own."""

import os
import socket
from urllib.parse import urlsplit

from dalr.errors import InputError, argument

SECONDS = 5.0
"""How long a server may take to answer, in all."""
DEFAULT_PORT = 6379
DEFAULT_CLIENT_PORT = 10001


def check_cluster(address: str) -> None:
    """Checks that a Ray cluster answers at `address`, as `ray.init` takes it: HOST:PORT or ray://HOST:PORT.

    Raises:
        InputError: it is the address of something else, or nothing answers there within `SECONDS`.
    """
    text = address if "://" in address else f"gcs://{address}"
    scheme = urlsplit(text).scheme
    if scheme not in ("gcs", "ray"):
        raise InputError(
            f"{address} is not the address of a Ray cluster, but {scheme}: expected HOST:{DEFAULT_PORT}, the head "
            "node's own port (only dalr submit takes the address of a dashboard)"
        )
    host, port = _host_and_port(text, DEFAULT_PORT if scheme == "gcs" else DEFAULT_CLIENT_PORT)
    hint = f"check RAY_ADDRESS or {argument('address')}; a cluster's is HOST:{DEFAULT_PORT} of its head node"
    _check_listens(host, port, f"no Ray cluster answers at {address}", hint)
    if os.environ.get("RAY_USE_TLS", "0") not in ("0", ""):
        return  # what follows would need the cluster's certificates
    if not _speaks_grpc(f"{host}:{port}"):
        raise InputError(f"what answers at {address} is not a Ray cluster; {hint}")


def check_server(url: str) -> None:
    """Checks that an HTTP server answers at `url`, whatever it says.

    Raises:
        InputError: nothing answers within `SECONDS`.
    """
    import requests

    missing = f"no job server answers at {url}"
    hint = (
        "expected the address of a Ray dashboard, for example --address http://127.0.0.1:8265 with a port-forward or "
        "an SSH tunnel to the head node"
    )
    text = url if "://" in url else f"http://{url}"
    if urlsplit(text).scheme not in ("http", "https"):
        raise InputError(f"{missing}; {hint}")
    host, port = _host_and_port(text, 443 if text.startswith("https:") else 80)
    _check_listens(host, port, missing, hint)
    try:
        requests.get(f"{text.rstrip('/')}/api/version", timeout=SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise InputError(f"{missing} ({_first_line(error)}); {hint}") from error


def _host_and_port(url: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{url}: {error}; expected HOST:PORT") from error
    if not host:
        raise InputError(f"{url.removeprefix('gcs://')!r} names no host; expected HOST:PORT")
    return host, port or default


def _check_listens(host: str, port: int, missing: str, hint: str) -> None:
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        raise InputError(f"{missing} ({_first_line(error)}); {hint}") from error


def _speaks_grpc(target: str) -> bool:
    import grpc

    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=SECONDS)
        except grpc.FutureTimeoutError:
            return False
    return True


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
