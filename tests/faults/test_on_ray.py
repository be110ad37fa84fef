"""Two workers on two nodes of a real Ray cluster: a worker, a node or the driver is lost, or the job is
stopped, at every moment of a run. What comes out is what two undisturbed workers make, bit for bit.

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
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.cluster.ray_node import Node, drain, start_head, start_worker
from tests.faults.conftest import Plan
from tests.faults.inject import Fault, Moment, Said, ended, start, waited_for
from tests.faults.oracle import assert_as_undisturbed, checkpoints, lines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 900.0
"""Seconds that a run gets: half a minute on an idle machine, many on a busy one."""

# The start of the second attempt: all that was saved when the fault struck.
MOMENTS: dict[Moment, tuple[int, int]] = {
    "start-up": (0, 0),
    "step": (5, 3),
    "checkpoint": (6, 3),
    "evaluation": (6, 3),
    "export": (8, 8),
}


def cells(*in_ci: Moment) -> list[object]:
    """Every moment as a parameter; those that are not for CI are slow."""
    return [pytest.param(moment, marks=() if moment in in_ci else pytest.mark.slow) for moment in MOMENTS]


@dataclass
class Cluster:
    """A head without CPUs and two nodes of one CPU each; `fault` is the file that arms their workers."""

    folder: Path
    head: Node
    fault: Path
    workers: list[Node] = field(default_factory=list)
    processes: list[BaseProcess] = field(default_factory=list)
    drained: Node | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment of its nodes: armed workers, and losses that are noticed soon."""
        path = os.pathsep.join([str(Path(__file__).parent / "in_workers"), str(ROOT)])
        return {**SOON, "PYTHONPATH": path, "DALR_TEST_FAULT": str(self.fault)}

    def add_node(self) -> None:
        self.workers.append(start_worker(self.head, self.folder, env=self.env))

    def lose_node_of(self, pid: int) -> None:
        """Kills the node on which a process runs, with all that is on it."""
        (node,) = (node for node in self.workers if pid in node.processes())
        self.workers.remove(node)
        node.kill()

    def drain_node_of(self, pid: int) -> None:
        """Announces that the node on which a process runs will be taken away."""
        (node,) = (node for node in self.workers if pid in node.processes())
        drain(self.head, node, seconds=600)
        self.drained = node

    def lose_drained_node(self) -> None:
        """Takes it away."""
        assert self.drained is not None
        self.workers.remove(self.drained)
        self.drained.kill()

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

    def arm(self, fault: Fault) -> None:
        """Every worker that comes to train from now on carries the fault."""
        self.fault.write_bytes(pickle.dumps(fault))


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


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="dalr-"))
    file = folder / "fault"
    head = start_head(folder, cpus=0, env=Cluster(folder, None, file).env)  # type: ignore[arg-type]
    made = Cluster(folder, head, file)
    try:
        made.add_node()
        made.add_node()
        yield made
    finally:
        for node in (*made.workers, head):
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def armed(cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """The cluster, disarmed afterwards and with two nodes again. A test that fails leaves a run behind, which
    would take the next one's place."""
    yield cluster
    cluster.fault.unlink(missing_ok=True)
    for pid in (*cluster.started(), *drivers_of(tmp_path / "run")):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while len(cluster.workers) < 2:
        cluster.add_node()


def on_ray(plan: Plan, *words: str) -> list[str]:
    """The plan's command for two workers."""
    return [*(word for word in plan.words if word != "--local"), "--workers", "2", *words]


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, plan: Plan) -> Path:
    """What two workers make of the plan when nothing happens to them."""
    out = plan.undisturbed.with_name("undisturbed-2")
    notes = plan.undisturbed.with_name("notes-2")
    said = ended(start(on_ray(plan, "--address", cluster.head.address, "--out", str(out)), notes), notes, PATIENCE)
    assert (said.code, starts(out)) == (0, [0]), said.err
    return out


def starts(out: Path) -> list[int]:
    """The step from which each attempt that came to train went on."""
    return [attempt["start_step"] for attempt in json.loads((out / "provenance.json").read_text())["attempts"]]


def expected_starts(moment: Moment) -> list[int]:
    """An attempt that is lost while features are written has not come to train."""
    return [0] if moment == "start-up" else [0, MOMENTS[moment][1]]


@pytest.mark.parametrize("moment", cells("checkpoint"))
def test_a_killed_worker_is_replaced(
    moment: Moment,
    armed: Cluster,
    plan: Plan,
    undisturbed: Path,
    fresh_store: tuple[str, Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    fault = Fault("kill", moment, tmp_path / "struck", MOMENTS[moment][0])
    armed.arm(fault)
    words = on_ray(plan, fresh_store[0], "--address", armed.head.address, "--out", str(out))
    said = ended(armed.start(words, tmp_path / "said"), tmp_path / "said", PATIENCE)
    assert fault.struck.exists()
    assert said.code == 0, said.err
    assert starts(out) == expected_starts(moment)
    assert_as_undisturbed(out, undisturbed, fresh_store[1])


@pytest.mark.parametrize("moment", cells("step"))
def test_a_killed_node_is_replaced(
    moment: Moment,
    armed: Cluster,
    plan: Plan,
    undisturbed: Path,
    fresh_store: tuple[str, Path],
    tmp_path: Path,
) -> None:
    """The raylet and every process of one node are killed; another node joins; the run ends."""
    out = tmp_path / "run"
    fault = Fault("call", moment, tmp_path / "struck", MOMENTS[moment][0])
    armed.arm(fault)
    words = on_ray(plan, fresh_store[0], "--address", armed.head.address, "--out", str(out))
    process = armed.start(words, tmp_path / "said")
    armed.lose_node_of(fault.called_by())
    armed.add_node()
    said = ended(process, tmp_path / "said", PATIENCE)
    assert said.code == 0, said.err
    assert starts(out) == expected_starts(moment)
    assert_as_undisturbed(out, undisturbed, fresh_store[1])


@pytest.mark.slow
def test_a_drained_node_is_left_with_a_checkpoint(
    armed: Cluster, plan: Plan, undisturbed: Path, fresh_store: tuple[str, Path], tmp_path: Path
) -> None:
    """The step in hand is ended and saved, which no schedule asks for, and nothing counts as a failure."""
    out = tmp_path / "run"
    fault = Fault("call", "step", tmp_path / "struck", 4)
    armed.arm(fault)
    words = on_ray(plan, fresh_store[0], "--max-failures", "0", "--address", armed.head.address, "--out", str(out))
    process = armed.start(words, tmp_path / "said")
    caller = fault.called_by()
    armed.drain_node_of(caller)
    armed.add_node()
    time.sleep(5)  # many looks at what is said of the nodes; a worker that waits at a step cannot answer
    fault.release()
    said = ended(process, tmp_path / "said", PATIENCE)
    armed.lose_drained_node()
    assert said.code == 0, said.err
    told = re.search(r"a node is about to be taken away: step (\d) is saved, the workers start again", said.err)
    assert told is not None, said.err
    assert told[1] in "45"  # worker 0 may have asked after step 4 already, and waits for the other's question
    assert starts(out) == [0, int(told[1])]
    assert_as_undisturbed(out, undisturbed, fresh_store[1])


@pytest.mark.slow
def test_a_run_that_is_given_up_says_why_in_one_line_and_goes_on(
    armed: Cluster, plan: Plan, undisturbed: Path, fresh_store: tuple[str, Path], tmp_path: Path
) -> None:
    """First a worker is lost that may not be replaced, then a node without another that comes."""
    out = tmp_path / "run"
    words = on_ray(plan, fresh_store[0], "--max-failures", "0", "--address", armed.head.address, "--out", str(out))
    armed.arm(Fault("kill", "step", tmp_path / "first", 5))
    said = ended(armed.start(words, tmp_path / "said"), tmp_path / "said", PATIENCE)
    assert said.code == 1
    assert re.search(r"^failed once at worker \d: The actor died .*; the same command continues from", last_line(said))

    fault = Fault("call", "step", tmp_path / "second", 7)
    armed.arm(fault)
    env = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "3"}
    words[words.index("--max-failures") + 1] = "3"
    process = armed.start(words, tmp_path / "said", env)
    armed.lose_node_of(fault.called_by())
    said = ended(process, tmp_path / "said", PATIENCE)
    assert said.code == 1
    assert last_line(said).startswith("2 workers of 1 CPU could not be started, 3 times in a row: ")

    armed.add_node()
    said = ended(armed.start(words, tmp_path / "said"), tmp_path / "said", PATIENCE)
    assert said.code == 0, said.err
    assert starts(out) == [0, 3, 6]
    assert_as_undisturbed(out, undisturbed, fresh_store[1])


def last_line(said: Said) -> str:
    return said.err.strip().splitlines()[-1].removeprefix("dalr: ")


def submit(cluster: Cluster, folder: Path, *words: str) -> list[str]:
    """`dalr submit` with nothing to take along: the job runs the installed dalr."""
    (folder / "empty").mkdir(exist_ok=True)
    return ["submit", "--address", cluster.head.dashboard, "--working-dir", str(folder / "empty"), *words]


def submitted_again(cluster: Cluster, words: list[str], job: str, folder: Path) -> Said:
    """The same command once more, followed to its end as a new attempt."""
    said = ended(cluster.start(words, folder / "second"), folder / "second", PATIENCE)
    assert said.code == 0, said.out + said.err
    assert f"{job}-2 succeeded" in said.err
    return said


def job_of(notes: Path) -> str:
    """The id that `dalr submit` has told."""
    return waited_for(lambda: re.search(r"(dalr-[0-9a-f]{16}) sent", notes.with_suffix(".err").read_text()))[1]


@pytest.mark.parametrize("moment", cells("step"))
def test_a_job_whose_driver_is_killed_goes_on_when_submitted_again(
    moment: Moment,
    armed: Cluster,
    plan: Plan,
    undisturbed: Path,
    fresh_store: tuple[str, Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    fault = Fault("call", moment, tmp_path / "struck", MOMENTS[moment][0])
    armed.arm(fault)
    words = submit(armed, tmp_path, "--", *on_ray(plan, fresh_store[0], "--out", str(out)))
    process = armed.start(words, tmp_path / "first")
    fault.called_by()
    (driver,) = drivers_of(out)
    os.kill(driver, signal.SIGKILL)
    first = ended(process, tmp_path / "first", PATIENCE)
    assert first.code == 128 + signal.SIGKILL, first.err
    assert not (out / "model").exists()
    submitted_again(armed, words, job_of(tmp_path / "first"), tmp_path)
    assert starts(out) == expected_starts(moment)
    assert [line["step"] for line in lines(out)] == list(range(1, 9))
    assert_as_undisturbed(out, undisturbed, fresh_store[1])


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


# The last step that is saved: the one in hand, or the next where the workers have agreed to go on.
STOPPED: dict[Moment, set[int]] = {"step": {5, 6}, "checkpoint": {7}, "evaluation": {6}}


@pytest.mark.parametrize("moment", cells())
def test_a_stopped_job_saves_what_there_is(
    moment: Moment,
    armed: Cluster,
    plan: Plan,
    undisturbed: Path,
    fresh_store: tuple[str, Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    fault = Fault("call", moment, tmp_path / "struck", MOMENTS[moment][0])
    armed.arm(fault)
    words = submit(armed, tmp_path, "--", *on_ray(plan, fresh_store[0], "--out", str(out)))
    process = armed.start(words, tmp_path / "first")
    fault.called_by()
    job = job_of(tmp_path / "first")
    stop = armed.start(submit(armed, tmp_path, "stop", job), tmp_path / "stop")
    if moment != "start-up":  # there, nobody trains who could save: it leaves at once
        waited_for(lambda: "the workers save" in (tmp_path / "first.out").read_text())
        fault.release()
    first = ended(process, tmp_path / "first", PATIENCE)
    stopped = ended(stop, tmp_path / "stop", PATIENCE)
    assert (first.code, stopped.code) == (1, 0), first.out + first.err + stopped.err
    assert f"{job}  stopped" in stopped.out
    if moment in STOPPED:
        (last,) = {int(step) for step in re.findall(r"stopped after step (\d+) \(SIGTERM\)", first.out)}
        assert last in STOPPED[moment]
        assert f"step-{last:06d}" in checkpoints(out)
        assert len(lines(out)) == last
    submitted_again(armed, words, job, tmp_path)
    assert starts(out) == ([0] if moment == "start-up" else [0, last if moment in STOPPED else 8])
    assert_as_undisturbed(out, undisturbed, fresh_store[1])
