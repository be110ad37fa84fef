"""Real Ray nodes on the loopback interface, beside whatever else runs on this machine."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
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
    """A `ray start --block` process; `address` is the cluster's, `dashboard` the head's URL, `name` the
    node's own."""

    process: subprocess.Popen[bytes]
    address: str
    dashboard: str
    log: Path
    name: str

    def stop(self) -> None:
        """Ends this node's processes and no others. `ray start` takes 20 s and more to end them on SIGTERM."""
        if self.process.poll() is None:
            self.kill()

    def kill(self) -> None:
        """SIGKILLs the node with every process on it at once, as a power cut would."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def processes(self) -> list[int]:
        """The ids of its processes: the raylet, its agents, its workers."""
        children: dict[int, list[int]] = {}
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):  # a process that has ended meanwhile
                parent = re.search(r"^PPid:\s+(\d+)", status.read_text(), re.MULTILINE)
                children.setdefault(int(parent[1]) if parent else 0, []).append(int(status.parent.name))
        found = [self.process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found


def start_head(folder: Path, *, cpus: int = 2, env: Mapping[str, str] | None = None) -> Node:
    """Starts a head node with a job server; returns when the server answers. `folder` must have a short
    path: Ray puts sockets there."""
    gcs, dashboard, client = free_ports(3)
    words = ["--head", f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
    words += ["--include-dashboard=true", f"--ray-client-server-port={client}", f"--temp-dir={folder}"]
    node = _start(words, folder, cpus, env, f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}")
    _wait_for(node, lambda: _answers(node))
    return node


def start_worker(
    head: Node, folder: Path, *, cpus: int = 1, env: Mapping[str, str] | None = None, inside: Sequence[str] = ()
) -> Node:
    """Starts one more node of the head's cluster; returns when the cluster counts it as alive. `inside` is a
    command that runs the words after it."""
    # Ray would set a third of the machine's memory aside for the objects of each node.
    words = [f"--address={head.address}", f"--object-store-memory={100 * 2**20}"]
    node = _start(words, folder, cpus, env, head.address, head.dashboard, inside)
    _wait_for(node, lambda: node.name in alive(head))
    return node


def alive(head: Node) -> dict[str, str]:
    """The names of the nodes that the cluster holds for alive, with Ray's ids of them."""
    with urllib.request.urlopen(f"{head.dashboard}/api/v0/nodes", timeout=5) as answer:
        nodes = json.load(answer)["data"]["result"]["result"]
    return {node["node_name"]: node["node_id"] for node in nodes if node["state"] == "ALIVE"}


def drain(head: Node, node: Node, *, seconds: int) -> None:
    """Tells the cluster that a node will be taken away so many seconds from now, as autoscalers do."""
    words = [str(RAY), "drain-node", f"--address={head.address}", f"--node-id={alive(head)[node.name]}"]
    words += [
        "--reason=DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message=spot",
        f"--deadline-remaining-seconds={seconds}",
    ]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=120)


def _start(
    words: list[str],
    folder: Path,
    cpus: int,
    env: Mapping[str, str] | None,
    address: str,
    dashboard: str,
    inside: Sequence[str] = (),
) -> Node:
    agent, agent_grpc, runtime_env, metrics = free_ports(4)
    # The default ports of a second cluster on one machine collide with the first one's.
    words = [*inside, str(RAY), "start", *words, f"--num-cpus={cpus}"]
    words += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
    words += [f"--runtime-env-agent-port={runtime_env}", f"--metrics-export-port={metrics}"]
    name = f"node-{agent}"
    words += [f"--node-name={name}", "--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats", "--block"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_ADDRESS")}
    environment |= {"PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}", "RAY_AUTH_MODE": "disabled", **(env or {})}
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, env=environment, start_new_session=True)
    return Node(process, address, dashboard, log, name)


def _answers(node: Node) -> bool:
    """Whether the job server of a head node is there."""
    try:
        with urllib.request.urlopen(f"{node.dashboard}/api/jobs/", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)  # it answers, and wants a token


def _wait_for(node: Node, ready: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and node.process.poll() is None:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.1)
    output = node.log.read_text(errors="replace")
    node.stop()
    raise RuntimeError(f"the node did not come up:\n{output[-2000:]}")
