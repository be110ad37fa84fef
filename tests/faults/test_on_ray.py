"""Two workers on two nodes of a real Ray cluster: a worker, a node or the driver is lost, or the job is
stopped, at every moment of a run. What comes out is what two undisturbed workers make, bit for bit.

Every single loss is slow. In CI one run suffers a lost node and a lost driver; that a lost worker is replaced is
shown in `tests/cluster/test_train.py`, the other moments by one process in `test_one_process.py`."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, TwoWorkers, drivers_of, running_cluster, starts
from tests.faults.conftest import Plan
from tests.faults.inject import Moment, Said, waited_for
from tests.faults.oracle import checkpoints, lines
from tests.faults.without_ray import worker
from tests.processes import run_workers

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

# The step of the fault, and the start of the second attempt: all that was saved when it struck.
MOMENTS: dict[Moment, tuple[int, int]] = {
    "start-up": (0, 0),
    "step": (5, 3),
    "checkpoint": (6, 3),
    "evaluation": (6, 3),
    "export": (8, 8),
}


def starts_after(moment: Moment) -> list[int]:
    """An attempt that is lost while features are written has not come to train."""
    return [0] if moment == "start-up" else [0, MOMENTS[moment][1]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def undisturbed(plan: Plan) -> Path:
    """What two workers make of the plan when nothing happens to them, and no Ray is there."""
    out = plan.undisturbed.with_name("undisturbed-2")
    run_workers(worker, plan.config, out, 2, count=2)
    assert starts(out) == [0]
    return out


@pytest.fixture
def two(cluster: Cluster, plan: Plan, undisturbed: Path, tmp_path: Path) -> Iterator[TwoWorkers]:
    made = TwoWorkers(cluster, plan, undisturbed, tmp_path)
    yield made
    cluster.clear(made.out)


@pytest.mark.slow
@pytest.mark.ci
def test_a_job_outlives_its_node_and_goes_on_after_its_driver(two: TwoWorkers) -> None:
    """A worker waits in step 5 while its node is killed, with every process there; one waits in step 7 while the job's
    driver is killed. Another node takes the first one's place, and the same command sent again ends the run."""
    in_step_5 = two.arm("call", "step", 5, "node")
    process = two.start(two.job(), "first")
    node = two.cluster.node_of(in_step_5.called_by())
    in_step_7 = two.arm("call", "step", 7, "driver")
    two.cluster.lose(node)
    two.cluster.add_node()
    in_step_7.called_by()
    (driver,) = drivers_of(two.out)
    os.kill(driver, signal.SIGKILL)
    first = two.ended(process, "first")
    assert first.code == 128 + signal.SIGKILL, first.err
    assert not (two.out / "model").exists()
    two.submit_again(two.job_id("first"))
    assert [line["step"] for line in lines(two.out)] == list(range(1, 9))
    two.assert_undisturbed([0, 3, 6])


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_worker_is_replaced(moment: Moment, two: TwoWorkers) -> None:
    fault = two.arm("kill", moment, MOMENTS[moment][0])
    said = two.run(two.command())
    assert fault.struck.exists()
    assert said.code == 0, said.err
    two.assert_undisturbed(starts_after(moment))


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
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


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
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


# The last step that is saved: the one in hand, or the next where the workers have agreed to go on. A checkpoint is
# written beside the training, which is over when the stop comes; an export is ended: there, the run finishes.
STOPPED: dict[Moment, set[int]] = {"step": {5, 6}, "evaluation": {6}}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
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
    starts_from = [0]
    if moment in STOPPED:
        (last,) = {int(step) for step in re.findall(r"stopped after step (\d+) \(SIGTERM\)", first.out)}
        assert last in STOPPED[moment]
        assert f"step-{last:06d}" in checkpoints(two.out)
        assert len(lines(two.out)) == last
        starts_from.append(last)
    assert (two.out / "model").exists() == (moment in ("checkpoint", "export"))
    two.submit_again(job)
    two.assert_undisturbed(starts_from)
