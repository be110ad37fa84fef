"""A Ray cluster of two nodes that may be lost, and a run of two workers on it that a fault strikes.

The nodes are `ray start` processes on the loopback interface. The head has no CPUs: it runs drivers, as
in the manifests, so that either worker's node may be lost.
"""

import contextlib
import json
import os
import pickle
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests import ROOT
from tests.cluster.ray_node import Node, drain, start_head, start_worker
from tests.faults.conftest import Plan
from tests.faults.inject import Action, Fault, Moment, Said, ended, start, waited_for
from tests.faults.oracle import assert_as_undisturbed

PATIENCE = 900.0
"""Seconds that a run gets: half a minute on an idle machine, many on a busy one."""

SOON = {
    # A node whose process is gone refuses connections at once: three refusals, half a second apart, are
    # enough. The time to answer stays long, since a busy machine is not a lost node.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
    # The driver looks at its workers, and at what is said of their nodes, this often.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "0.2",
}


def environment(fault: Path) -> dict[str, str]:
    """A node's environment: losses that are noticed soon, and workers that the file `fault` arms."""
    path = os.pathsep.join([str(Path(__file__).parent / "in_workers"), str(ROOT)])
    return {**SOON, "PYTHONPATH": path, "DALR_TEST_FAULT": str(fault)}


@dataclass
class Cluster:
    """A head without CPUs and two nodes of one CPU each; `fault` is the file that arms their workers."""

    folder: Path
    head: Node
    fault: Path
    workers: list[Node] = field(default_factory=list)
    processes: list[BaseProcess] = field(default_factory=list)

    def add_node(self) -> None:
        self.workers.append(start_worker(self.head, self.folder, env=environment(self.fault)))

    def node_of(self, pid: int) -> Node:
        """The node on which a process runs."""
        (node,) = (node for node in self.workers if pid in node.processes())
        return node

    def lose(self, node: Node) -> None:
        """Kills a node with all that is on it."""
        self.workers.remove(node)
        node.kill()

    def drain(self, node: Node) -> None:
        """Announces that a node will be taken away."""
        drain(self.head, node, seconds=600)

    def start(self, words: list[str], notes: Path, env: Mapping[str, str] | None = None) -> BaseProcess:
        """Starts `dalr WORDS`, which does not outlive the test."""
        self.processes.append(start(words, notes, env=env))
        return self.processes[-1]

    def started(self) -> Iterator[int]:
        """The ids of the commands that still run; they are forgotten now."""
        processes, self.processes = self.processes, []
        for process in processes:
            with contextlib.suppress(ValueError):  # its end has been seen
                if process.pid is not None and process.is_alive():
                    yield process.pid

    def clear(self, out: Path) -> None:
        """Disarmed, without the run in `out`, which would take the next one's place, and with two nodes again."""
        self.fault.unlink(missing_ok=True)
        for pid in (*self.started(), *drivers_of(out)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while len(self.workers) < 2:
            self.add_node()


@dataclass
class TwoWorkers:
    """The plan's run with two workers and an empty feature store, and what is to come of it."""

    cluster: Cluster
    plan: Plan
    undisturbed: Path
    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "run"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def command(self, *more: str) -> list[str]:
        """`dalr train` on the cluster."""
        return train(self.plan, self.out, f"data.store={self.store}", "--address", self.cluster.head.address, *more)

    def job(self, *words: str) -> list[str]:
        """`dalr submit` with nothing to take along, for the job runs the installed dalr; of the run, where
        there are no `words`."""
        (self.folder / "empty").mkdir(exist_ok=True)
        words = words or ("--", *train(self.plan, self.out, f"data.store={self.store}"))
        there = ["--address", self.cluster.head.dashboard, "--working-dir", str(self.folder / "empty")]
        return ["submit", *there, *words]

    def arm(self, action: Action, moment: Moment, step: int, name: str = "struck") -> Fault:
        """Every worker that comes to train from now on carries the fault, which strikes once."""
        fault = Fault(action, moment, self.folder / name, step)
        self.cluster.fault.write_bytes(pickle.dumps(fault))
        return fault

    def start(self, words: list[str], notes: str = "said", env: Mapping[str, str] | None = None) -> BaseProcess:
        """Starts `dalr WORDS`; what it says is written to files called `notes`."""
        return self.cluster.start(words, self.folder / notes, env)

    def ended(self, process: BaseProcess, notes: str = "said") -> Said:
        return ended(process, self.folder / notes, PATIENCE)

    def run(self, words: list[str], notes: str = "said") -> Said:
        """Runs `dalr WORDS` to its end."""
        return self.ended(self.start(words, notes), notes)

    def job_id(self, notes: str) -> str:
        """The id that `dalr submit` tells."""
        path = (self.folder / notes).with_suffix(".err")
        return waited_for(lambda: re.search(r"(dalr-[0-9a-f]{16}) sent", path.read_text()))[1]

    def submit_again(self, job: str) -> None:
        """The same command once more is a new attempt, which is followed to its end."""
        said = self.run(self.job(), "second")
        assert said.code == 0, said.out + said.err
        assert f"{job}-2 succeeded" in said.err

    def assert_undisturbed(self, starts_from: list[int]) -> None:
        """The attempts went on from these steps, and came to what an undisturbed run comes to."""
        assert starts(self.out) == starts_from
        assert_as_undisturbed(self.out, self.undisturbed, self.store)


def train(plan: Plan, out: Path, *more: str) -> list[str]:
    """The plan's command for two workers, which also says when it is asked to stop."""
    words = [word for word in plan.words if word not in ("--local", "--quiet")]
    return [*words, *more, "--workers", "2", "--out", str(out)]


def starts(out: Path) -> list[int]:
    """The step from which each attempt that came to train went on."""
    return [attempt["start_step"] for attempt in json.loads((out / "provenance.json").read_text())["attempts"]]


def drivers_of(out: Path) -> list[int]:
    """The processes that run `python -m dalr … --out OUT`."""
    return [
        int(entry.parent.name)
        for entry in Path("/proc").glob("[0-9]*/cmdline")
        if (words := words_of(entry))[1:3] == ["-m", "dalr"] and str(out) in words
    ]


def words_of(command_line: Path) -> list[str]:
    try:
        return command_line.read_text().split("\0")
    except OSError:
        return []  # it has ended


@contextlib.contextmanager
def running_cluster(nodes: int) -> Iterator[Cluster]:
    """A head without CPUs, at which the driver is, and nodes of one CPU each."""
    folder = Path(tempfile.mkdtemp(prefix="dalr-"))
    fault = folder / "fault"
    made = Cluster(folder, start_head(folder, cpus=0, env=environment(fault)), fault)
    try:
        for _ in range(nodes):
            made.add_node()
        yield made
    finally:
        for node in (*made.workers, made.head):
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)
