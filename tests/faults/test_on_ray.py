"""Two workers on two nodes of a real Ray cluster: a worker, a node or the driver is lost, or the job is
stopped, at every moment of a run. What comes out is what two undisturbed workers make, bit for bit."""

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.ray_node import start_head
from tests.faults.cluster import PATIENCE, Cluster, TwoWorkers, drivers_of, environment, starts, train
from tests.faults.conftest import Plan
from tests.faults.inject import Moment, Said, ended, start, waited_for
from tests.faults.oracle import checkpoints, lines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

# The step of the fault, and the start of the second attempt: all that was saved when it struck.
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


def starts_after(moment: Moment) -> list[int]:
    """An attempt that is lost while features are written has not come to train."""
    return [0] if moment == "start-up" else [0, MOMENTS[moment][1]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="dalr-"))
    fault = folder / "fault"
    made = Cluster(folder, start_head(folder, cpus=0, env=environment(fault)), fault)
    try:
        made.add_node()
        made.add_node()
        yield made
    finally:
        for node in (*made.workers, made.head):
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, plan: Plan) -> Path:
    """What two workers make of the plan when nothing happens to them."""
    out, notes = (plan.undisturbed.with_name(name) for name in ("undisturbed-2", "notes-2"))
    said = ended(start(train(plan, out, "--address", cluster.head.address), notes), notes, PATIENCE)
    assert (said.code, starts(out)) == (0, [0]), said.err
    return out


@pytest.fixture
def two(cluster: Cluster, plan: Plan, undisturbed: Path, tmp_path: Path) -> Iterator[TwoWorkers]:
    made = TwoWorkers(cluster, plan, undisturbed, tmp_path)
    yield made
    cluster.clear(made.out)


@pytest.mark.parametrize("moment", cells("checkpoint"))
def test_a_killed_worker_is_replaced(moment: Moment, two: TwoWorkers) -> None:
    fault = two.arm("kill", moment, MOMENTS[moment][0])
    said = two.run(two.command())
    assert fault.struck.exists()
    assert said.code == 0, said.err
    two.assert_undisturbed(starts_after(moment))


@pytest.mark.parametrize("moment", cells("step"))
def test_a_killed_node_is_replaced(moment: Moment, two: TwoWorkers) -> None:
    """The raylet and every process of one node are killed; another node joins; the run ends."""
    fault = two.arm("call", moment, MOMENTS[moment][0])
    process = two.start(two.command())
    two.cluster.lose(two.cluster.node_of(fault.called_by()))
    two.cluster.add_node()
    said = two.ended(process)
    assert said.code == 0, said.err
    two.assert_undisturbed(starts_after(moment))


@pytest.mark.slow
def test_a_drained_node_is_left_with_a_checkpoint(two: TwoWorkers) -> None:
    """The step in hand is ended and saved, which no schedule asks for, and nothing counts as a failure."""
    fault = two.arm("call", "step", 4)
    process = two.start(two.command("--max-failures", "0"))
    drained = two.cluster.node_of(fault.called_by())
    two.cluster.drain(drained)
    two.cluster.add_node()
    time.sleep(5)  # many looks at what is said of the nodes; a worker that waits at a step cannot answer
    fault.release()
    said = two.ended(process)
    two.cluster.lose(drained)
    assert said.code == 0, said.err
    told = re.search(r"a node is about to be taken away: step (\d) is saved, the workers start again", said.err)
    assert told is not None, said.err
    assert told[1] in "45"  # worker 0 may have asked after step 4 already, and waits for the other's question
    two.assert_undisturbed([0, int(told[1])])


@pytest.mark.slow
def test_a_run_that_is_given_up_says_why_in_one_line_and_goes_on(two: TwoWorkers) -> None:
    """First a worker is lost that may not be replaced, then a node without another that comes."""
    two.arm("kill", "step", 5, "first")
    said = two.run(two.command("--max-failures", "0"))
    assert said.code == 1
    assert re.search(r"^failed once at worker \d: The actor died .*; the same command continues from", last_line(said))

    fault = two.arm("call", "step", 7, "second")
    process = two.start(two.command(), env={"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "3"})
    two.cluster.lose(two.cluster.node_of(fault.called_by()))
    said = two.ended(process)
    assert said.code == 1
    assert last_line(said).startswith("2 workers of 1 CPU could not be started, 3 times in a row: ")

    two.cluster.add_node()
    said = two.run(two.command())
    assert said.code == 0, said.err
    two.assert_undisturbed([0, 3, 6])


def last_line(said: Said) -> str:
    return said.err.strip().splitlines()[-1].removeprefix("dalr: ")


@pytest.mark.parametrize("moment", cells("step"))
def test_a_job_whose_driver_is_killed_goes_on_when_submitted_again(moment: Moment, two: TwoWorkers) -> None:
    fault = two.arm("call", moment, MOMENTS[moment][0])
    process = two.start(two.job(), "first")
    fault.called_by()
    (driver,) = drivers_of(two.out)
    os.kill(driver, signal.SIGKILL)
    first = two.ended(process, "first")
    assert first.code == 128 + signal.SIGKILL, first.err
    assert not (two.out / "model").exists()
    two.submit_again(two.job_id("first"))
    assert [line["step"] for line in lines(two.out)] == list(range(1, 9))
    two.assert_undisturbed(starts_after(moment))


# The last step that is saved: the one in hand, or the next where the workers have agreed to go on.
STOPPED: dict[Moment, set[int]] = {"step": {5, 6}, "checkpoint": {7}, "evaluation": {6}}


@pytest.mark.parametrize("moment", cells())
def test_a_stopped_job_saves_what_there_is(moment: Moment, two: TwoWorkers) -> None:
    fault = two.arm("call", moment, MOMENTS[moment][0])
    process = two.start(two.job(), "first")
    fault.called_by()
    job = two.job_id("first")
    stop = two.start(two.job("stop", job), "stop")
    if moment != "start-up":  # there, nobody trains who could save: it leaves at once
        waited_for(lambda: "the workers save" in (two.folder / "first.out").read_text())
        fault.release()
    first, stopped = two.ended(process, "first"), two.ended(stop, "stop")
    assert (first.code, stopped.code) == (1, 0), first.out + first.err + stopped.err
    assert f"{job}  stopped" in stopped.out
    if moment in STOPPED:
        (last,) = {int(step) for step in re.findall(r"stopped after step (\d+) \(SIGTERM\)", first.out)}
        assert last in STOPPED[moment]
        assert f"step-{last:06d}" in checkpoints(two.out)
        assert len(lines(two.out)) == last
    two.submit_again(job)
    two.assert_undisturbed([0] if moment == "start-up" else [0, last if moment in STOPPED else 8])
