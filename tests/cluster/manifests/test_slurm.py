"""The SLURM scripts, run by bash, with stand-ins for srun, scontrol, ray and dalr on PATH."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from tests import ROOT

SLURM = ROOT / "cluster" / "manifests" / "slurm"
SCRIPTS = sorted(SLURM.iterdir())

STAND_INS = {
    # Runs the command once, on "the node", without srun's own options.
    "srun": """while [ "${1#--}" != "$1" ]; do shift; done
echo "srun: $*" >> "$CALLS"
exec "$@"
""",
    "scontrol": """echo "scontrol: $*" >> "$CALLS"
if [ "$1" = show ]; then printf 'n1\\nn2\\n'; fi
""",
    "hostname": "echo 10.1.2.3\n",
    # As Ray's: symmetric-run passes the command's exit code on, and swallows a failure to start.
    "ray": """echo "ray: $* | $RAY_AUTH_MODE $(cat "$RAY_AUTH_TOKEN_PATH")" >> "$CALLS"
if [ "$1" = symmetric-run ]; then
  if [ "${RAY_BROKEN:-0}" = 1 ]; then echo "Failed to start Ray"; exit 0; fi
  while [ "$1" != -- ]; do shift; done
  shift
  "$@" || exit $?
fi
""",
    # `python -m dalr` is the stand-in's business, all other Python is Python's.
    "python": """if [ "$1 $2" = "-m dalr" ]; then
  shift 2
  trap 'echo "dalr: stopped" >> "$CALLS"; exit "${DALR_STOP_CODE:-1}"' TERM
  echo "dalr: $* | $RAY_ADDRESS" >> "$CALLS"
  for i in $(seq "${DALR_TENTHS:-1}"); do sleep 0.1; done
  exit "${DALR_CODE:-0}"
fi
exec "$REAL_PYTHON" "$@"
""",
}


@pytest.fixture
def slurm(tmp_path):
    """The environment of a two-node SLURM job; `calls` is what was called, in order."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in STAND_INS.items():
        script = folder / name
        script.write_text(f"#!/usr/bin/env bash\n{body}", encoding="utf-8")
        script.chmod(0o755)
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "activate").touch()
    (tmp_path / "calls").touch()
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "REAL_PYTHON": sys.executable,
        "DALR_VENV": str(tmp_path / "venv"),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "1",
    }


def run(script: str, *words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(SLURM / script), *words], env=env, capture_output=True, text=True, timeout=60)


def calls(env: dict[str, str]) -> list[str]:
    return Path(env["CALLS"]).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_it(path):
    subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_no_objection(path):
    subprocess.run(["shellcheck", "--exclude=SC1090,SC1091", str(path)], check=True)


@pytest.mark.parametrize("kind", ["train", "sweep"])
def test_the_command_runs_once_on_a_cluster_of_all_nodes(kind, slurm):
    done = run(f"{kind}.sbatch", "a b", "--out", "/nfs/x", env=slurm)
    assert done.returncode == 0, done.stderr
    made = calls(slurm)
    (started,) = [line for line in made if line.startswith("ray: symmetric-run")]
    assert "--address 10.1.2.3:24711 --min-nodes 2 --num-cpus=8 --num-gpus=1 --" in started
    assert [line for line in made if line.startswith("dalr:")] == [f"dalr: {kind} a b --out /nfs/x | 10.1.2.3:24711"]
    assert not [line for line in made if "requeue" in line]


def test_every_node_gets_the_jobs_own_token_and_nobody_else_reads_it(slurm):
    assert run("train.sbatch", "dalr", env={**slurm, "DALR_CODE": "3"}).returncode == 3
    state = Path(slurm["SLURM_SUBMIT_DIR"]) / ".dalr-slurm" / "4711"
    assert state.stat().st_mode & 0o077 == 0
    (started,) = [line for line in calls(slurm) if line.startswith("ray: symmetric-run")]
    mode, token = started.split(" | ")[1].split()
    assert mode == "token"
    assert len(token) == 64
    assert not (state / "auth_token").exists()


def test_the_commands_exit_code_is_the_jobs(slurm):
    done = run("train.sbatch", "dalr", env={**slurm, "DALR_CODE": "2"})
    assert done.returncode == 2
    assert "failed with exit code 2" in done.stderr


def test_a_silent_failure_of_ray_is_found(slurm):
    done = run("train.sbatch", "dalr", env={**slurm, "RAY_BROKEN": "1"})
    assert done.returncode == 1
    assert "the command never ran" in done.stderr
    assert not [line for line in calls(slurm) if line.startswith("dalr:")]


def test_the_success_of_an_earlier_attempt_does_not_count(slurm):
    state = Path(slurm["SLURM_SUBMIT_DIR"]) / ".dalr-slurm" / "4711"
    state.mkdir(parents=True)
    (state / "success").touch()
    assert run("train.sbatch", "dalr", env={**slurm, "RAY_BROKEN": "1"}).returncode == 1


@contextmanager
def signalled(env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A running train.sbatch that has got the warning before its time limit, as SLURM sends it for
    --signal=B:USR1@300."""
    log = Path(env["HOME"]) / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["bash", str(SLURM / "train.sbatch"), "dalr"], env=env, stdout=output, stderr=output, text=True
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 30
            driver = Path(env["SLURM_SUBMIT_DIR"]) / ".dalr-slurm" / "4711" / "driver"
            while not (driver.exists() and any(line.startswith("dalr: train") for line in calls(env))):
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            process.send_signal(signal.SIGUSR1)
            process.wait(timeout=30)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("requeue", ["1", "0"])
def test_before_the_time_limit_it_drains_stops_and_queues_again(requeue, slurm):
    with signalled({**slurm, "DALR_TENTHS": "300", "DALR_REQUEUE": requeue}) as process:
        assert process.returncode == 1
    made = calls(slurm)
    drained = next(i for i, line in enumerate(made) if line.startswith("ray: drain-node --address 10.1.2.3:24711"))
    assert "--reason DRAIN_NODE_REASON_PREEMPTION" in made[drained]
    assert "--deadline-remaining-seconds 240" in made[drained]
    assert drained < made.index("dalr: stopped")
    assert ("scontrol: requeue 4711" in made) == (requeue == "1")


def test_a_command_that_ends_well_while_draining_is_a_success(slurm):
    with signalled({**slurm, "DALR_TENTHS": "300", "DALR_STOP_CODE": "0"}) as process:
        assert process.returncode == 0
    assert "dalr: stopped" in calls(slurm)
    assert "scontrol: requeue 4711" not in calls(slurm)


def test_without_a_command_or_a_job_it_says_so(slurm):
    assert run("on_nodes.sh", env=slurm).returncode == 2
    del slurm["SLURM_JOB_ID"]
    done = run("on_nodes.sh", "train", env=slurm)
    assert done.returncode != 0
    assert "inside a SLURM job" in done.stderr


def test_ray_still_has_the_options_that_the_script_uses():
    """symmetric-run and the hidden drain-node are not covered by Ray's promises of stability."""
    scripts = Path(ray.__file__).parent / "scripts"
    drain = (scripts / "scripts.py").read_text(encoding="utf-8")
    drain = drain[drain.index("def global_gc(") : drain.index("def drain_node(")]
    for option in ("--address", "--reason", "--reason-message", "--deadline-remaining-seconds"):
        assert f'"{option}"' in drain
    symmetric = (scripts / "symmetric_run.py").read_text(encoding="utf-8")
    assert '"--address"' in symmetric
    assert '"--min-nodes"' in symmetric
    assert '"RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT"' in symmetric
    assert DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
