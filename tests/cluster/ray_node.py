"""Real Ray nodes on the loopback interface, beside whatever else runs on this machine."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RAY = Path(sys.executable).with_name("ray")


def free_ports(count: int) -> list[int]:
    """TCP ports that nothing listens on now, all different."""
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


@dataclass
class Node:
    """A `ray start --block` process; `address` is the cluster's, `dashboard` the head's URL."""

    process: subprocess.Popen[bytes]
    address: str
    dashboard: str
    log: Path

    def stop(self) -> None:
        """Ends this node's processes and no others."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)


def start_head(folder: Path, *, cpus: int = 2, env: Mapping[str, str] | None = None) -> Node:
    """Starts a head node with a job server; returns when the server answers. `folder` must have a short
    path: Ray puts sockets there."""
    gcs, dashboard, client = free_ports(3)
    words = ["--head", f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
    words += ["--include-dashboard=true", f"--ray-client-server-port={client}", f"--temp-dir={folder}"]
    node = _start(words, folder, cpus, env, f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}")
    _wait_for(node)
    return node


def _start(
    words: list[str], folder: Path, cpus: int, env: Mapping[str, str] | None, address: str, dashboard: str
) -> Node:
    agent, agent_grpc, runtime_env, metrics = free_ports(4)
    # The default ports of a second cluster on one machine collide with the first one's.
    words = [str(RAY), "start", *words, f"--num-cpus={cpus}"]
    words += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
    words += [f"--runtime-env-agent-port={runtime_env}", f"--metrics-export-port={metrics}"]
    words += ["--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats", "--block"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_ADDRESS")}
    environment |= {"PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}", "RAY_AUTH_MODE": "disabled", **(env or {})}
    log = folder / f"node-{agent}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, env=environment, start_new_session=True)
    return Node(process, address, dashboard, log)


def _wait_for(node: Node, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if node.process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{node.dashboard}/api/jobs/", timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                return  # it answers, and wants a token
            time.sleep(0.5)
        except OSError:
            time.sleep(0.5)
    output = node.log.read_text(errors="replace")
    node.stop()
    raise RuntimeError(f"the head node did not come up:\n{output[-2000:]}")
