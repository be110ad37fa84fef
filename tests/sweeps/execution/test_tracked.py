"""A sweep's trials in TensorBoard, MLflow and W&B: a run for each trial and seed, grouped, tagged, continued."""

import json
from pathlib import Path

import pytest

from dalr.sweeps.execution.tracked import note_endings
from dalr.sweeps.execution.trial import train_here
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.spec.loading import parse_spec
from dalr.sweeps.spec.schema import SweepSpec
from dalr.tracking.labels import ending, note_ending
from tests.sweeps.make import coordinator, small_recipe
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium


def specification(folder: Path, student: Path, *trackers: str) -> SweepSpec:
    """Three trials, at least one of them pruned, and a final run of the winner and of the base recipe."""
    recipe = small_recipe(folder, student, steps=8, eval_every=4)
    return parse_spec(
        {
            "recipe": str(recipe),
            "overrides": {"evaluation.tasks": ["STSBenchmark"]},
            "space": {"optim.learning_rate": {"choice": [1e-5, 1e-4, 1e-3]}},
            "sampler": {"name": "grid"},
            "scheduler": {"name": "asha", "grace_steps": 4},
            "seeds": {"final": 1},
            "report_to": list(trackers),
        }
    )


def search(chosen: SweepSpec, out: Path) -> Coordinator:
    made = coordinator(chosen, out)
    made.decided = note_endings
    return made


def run_twice(chosen: SweepSpec, out: Path) -> Coordinator:
    """A sweep whose driver is killed in the middle of its second trial, and continued."""
    fakes.work(search(chosen, out), trainer=train_here, reports=6)
    last = search(chosen, out)
    fakes.work(last, trainer=train_here)
    return last


def folder_of(sweep: Coordinator, name: str) -> Path:
    return Path(sweep.out) / "runs" / name


def fates(sweep: Coordinator) -> dict[str, str]:
    """The state of each run, by its folder's name."""
    trials = {
        f"trial-{trial.number:04d}-seed-{run.seed}": run.state
        for study in sweep.studies.values()
        for trial in study.trials()
        for run in trial.runs
    }
    (runs,) = sweep.finals.values()
    finals = {f"{record.name}-seed-{record.run.seed}": record.run.state for record in runs.records()}
    return {**trials, **finals}


def test_what_the_sweep_decides_is_how_a_run_ended(tmp_path: Path) -> None:
    assert ending(tmp_path, "finished", None) == ("complete", "")
    assert ending(tmp_path, "failed", "diverged") == ("failed", "diverged")
    assert ending(tmp_path, "stopped", "SIGTERM") == ("unfinished", "SIGTERM")
    note_ending(tmp_path, "pruned", "behind earlier trials")
    assert ending(tmp_path, "stopped", "stopped by the sweep") == ("pruned", "behind earlier trials")
    assert ending(tmp_path, "finished", None) == ("complete", "")


def test_trackers_decide_nothing(tmp_path: Path, tiny_bert: Path) -> None:
    with_one, without = (specification(tmp_path, tiny_bert, *names) for names in (["tensorboard"], []))
    assert with_one.study_key() == without.study_key()


def test_tensorboard_has_each_run_with_its_state(tmp_path: Path, tiny_bert: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    ended = run_twice(specification(tmp_path, tiny_bert, "tensorboard"), tmp_path / "sweep")
    assert set(fates(ended).values()) == {"complete", "pruned"}
    for name, state in fates(ended).items():
        events = EventAccumulator(str(folder_of(ended, name) / "tensorboard"), size_guidance={"tensors": 0})
        events.Reload()
        texts = {tag: events.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
        assert texts["state/text_summary"].startswith(state)
        assert f"trial: {name.rpartition('-seed-')[0]}\n" in texts["sweep/text_summary"]
        assert ("kind: final" in texts["sweep/text_summary"]) == name.startswith("final")
        lines = (folder_of(ended, name) / "metrics.jsonl").read_text().splitlines()
        assert [event.step for event in events.Scalars("loss")] == [json.loads(line)["step"] for line in lines]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of SQLAlchemy
def test_mlflow_has_one_run_for_each_trial_and_seed(
    tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ended = run_twice(specification(tmp_path, tiny_bert, "mlflow"), tmp_path / "sweep")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'sweep' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("dalr").experiment_id])
    assert {run.info.run_name: run.data.tags["state"] for run in runs} == fates(ended)
    assert len(runs) == len(fates(ended)), "a run that was cut off is continued, not begun again"
    for run in runs:
        tags = run.data.tags
        assert tags["sweep"] == "sweep"
        assert tags["trial"] == run.info.run_name.rpartition("-seed-")[0]
        assert tags["seed"] == run.info.run_name.rpartition("-")[2]
        assert tags["kind"] == ("final" if run.info.run_name.startswith("final") else "search")
        assert ("point.optim.learning_rate" in tags) == (not tags["trial"].endswith("base"))
        assert (tags["reason"] != "") == (tags["state"] == "pruned")


def test_wandb_groups_the_runs_offline(tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    from tests.dalr.tracking.test_tracking import wandb_records

    monkeypatch.setenv("WANDB_MODE", "offline")
    ended = run_twice(specification(tmp_path, tiny_bert, "wandb"), tmp_path / "sweep")
    seen = {}
    for name in fates(ended):
        folder = folder_of(ended, name)
        identity = json.loads((folder / "tracking.json").read_text())["wandb"]
        files = sorted(folder.glob(f"wandb/offline-run-*-{identity}/run-{identity}.wandb"))
        last = [record.run for record in wandb_records(files[-1]) if record.HasField("run")][-1]
        assert (last.run_group, last.job_type, last.display_name) == ("sweep", name.rpartition("-seed-")[0], name)
        (state,) = (tag.removeprefix("state ") for tag in last.tags if tag.startswith("state "))
        assert {"final" if name.startswith("final") else "search", f"seed {name.rpartition('-')[2]}"} < set(last.tags)
        seen[name] = state
    assert seen == fates(ended)
