"""One process that is killed, asked to leave, or meets a NaN, at every moment of a run."""

import os
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.faults.conftest import Plan
from tests.faults.inject import Fault, Moment, dalr_apart, ended, start, waited_for
from tests.faults.oracle import assert_as_undisturbed, checkpoints, half_written, lines

pytestmark = pytest.mark.medium

MOMENTS: list[tuple[Moment, int]] = [("start-up", 0), ("step", 5), ("checkpoint", 6), ("evaluation", 6), ("export", 8)]


WRITING: list[tuple[Moment, int]] = [("snapshot", 6), ("weights", 6), ("notes", 6), ("removal", 6)]


@pytest.mark.parametrize(("moment", "step"), [*MOMENTS, *WRITING])
def test_a_killed_process_costs_the_time_since_its_checkpoint(
    moment: Moment, step: int, plan: Plan, fresh_store: tuple[str, Path], tmp_path: Path
) -> None:
    out, store = tmp_path / "run", fresh_store
    words = [*plan.words, store[0], "--out", str(out)]
    fault = Fault("kill", moment, tmp_path / "struck", step)
    assert dalr_apart(words, tmp_path / "first", fault).code == -signal.SIGKILL
    if moment in ("weights", "checkpoint", "notes", "start-up", "export"):
        assert half_written(out, store[1]), "it was to be killed while it wrote"
    assert not (out / "model").exists()
    said = dalr_apart(words, tmp_path / "second")
    assert (said.code, said.err) == (0, "")
    assert_as_undisturbed(out, plan.undisturbed, store[1])


@pytest.mark.parametrize(("moment", "step"), MOMENTS)
def test_sigterm_saves_what_there_is_and_leaves(
    moment: Moment, step: int, plan: Plan, fresh_store: tuple[str, Path], tmp_path: Path
) -> None:
    out, store = tmp_path / "run", fresh_store
    words = [*plan.words, store[0], "--out", str(out)]
    said = dalr_apart(words, tmp_path / "first", Fault("terminate", moment, tmp_path / "struck", step))
    if moment in ("start-up", "export"):
        # There is nothing to save yet, or nothing that is not saved: it leaves at once.
        assert said.code == -signal.SIGTERM
    else:
        # A step begun is ended, and so is a checkpoint; the one after it is saved, then it leaves.
        last = {"step": 5, "checkpoint": 7, "evaluation": 6}[moment]
        assert said.code == 1
        assert said.err == f"stopped after step {last} (SIGTERM); the same command continues\n"
        assert f"step-{last:06d}" in checkpoints(out)
        assert len(lines(out)) == last
        assert half_written(out, store[1]) == []
    assert dalr_apart(words, tmp_path / "second").code == 0
    assert_as_undisturbed(out, plan.undisturbed, store[1])


def test_ctrl_c_saves_the_last_step_and_says_how_it_goes_on(plan: Plan, tmp_path: Path) -> None:
    out, notes = tmp_path / "run", tmp_path / "said"
    words = [*plan.words, "train.steps=100000", "--out", str(out)]
    metrics = out / "metrics.jsonl"
    process = start(words, notes)
    waited_for(lambda: metrics.is_file() and metrics.read_text().count("\n") > 5)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    said = ended(process, notes)
    last = said.err.splitlines()[-1]
    assert said.code == 130, said.err
    assert last.startswith("dalr: interrupted after step ")
    assert last.endswith(f", which is saved; the same command continues: {shlex.join(['dalr', *words])}")
    step = int(last.removeprefix("dalr: interrupted after step ").partition(",")[0])
    assert f"step-{step:06d}" in checkpoints(out)
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("moment", "step", "words_said"),
    [
        ("step", 5, "the loss is nan at step 5"),
        ("checkpoint", 6, "the norm of the gradient is nan at step 6 (every term is finite)"),
        ("evaluation", 6, "the student cannot be evaluated after step 6: encoder: the vector of "),
    ],
)
def test_a_nan_stops_the_run_before_it_is_saved(
    moment: Moment, step: int, words_said: str, plan: Plan, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = [*plan.words, "--out", str(out)]
    said = dalr_apart(words, tmp_path / "first", Fault("poison", moment, tmp_path / "struck", step))
    assert said.code == 1
    assert said.err.startswith(f"dalr: {words_said}")
    assert len(said.err.splitlines()) == 1
    assert checkpoints(out) == ["step-000003"]
    assert len(lines(out)) == 5 if moment != "step" else 4
    assert half_written(out) == []
    if moment != "evaluation":
        batch = out / f"diverged-step-{step:06d}.safetensors"
        assert str(batch) in said.err
        assert len(load_file(batch)["input_ids"]) > 0
    # The NaN came from outside this time; nothing of it was saved.
    assert dalr_apart(words, tmp_path / "second").code == 0
    assert_as_undisturbed(out, plan.undisturbed)


def test_a_nan_in_the_data_is_refused_before_the_first_step(plan: Plan, tmp_path: Path) -> None:
    features = np.load(plan.config.data.image_features or "")
    features[:] = np.float16("nan")
    np.save(tmp_path / "images.npy", features)
    out = tmp_path / "run"
    words = [*plan.words, f"data.image_features={tmp_path / 'images.npy'}", "--out", str(out)]
    said = dalr_apart(words, tmp_path / "first")
    assert said.code == 2
    assert said.err.startswith(f"dalr: data.image_features: {tmp_path / 'images.npy'}: row 0 is not finite")
    assert not (out / "config.yaml").exists()
