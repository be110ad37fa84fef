"""Trackers: what arrives in TensorBoard, MLflow and W&B is metrics.jsonl, each step once, also after kills."""

import json
import logging
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dalr.config.schema import RunConfig
from dalr.data.rows import IndexedRows
from dalr.errors import InputError
from dalr.tracking import make_trackers, parse_names
from dalr.tracking.mlflow import leaves
from dalr.tracking.tracker import State, Tracker
from dalr.training.callbacks import Callback
from dalr.training.loop import Diverged, train
from dalr.training.run_folder import RunFolder


class DieAfter(Callback):
    """Raises what nobody expects after a step, as a kill would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        if step == self.step:
            raise RuntimeError("killed")


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def train_with(config: RunConfig, out: Path, *names: str, die_after: int | None = None) -> None:
    """Trains with trackers; a kill comes after the step has been sent."""
    callbacks: list[Callback] = list(make_trackers(names, RunFolder(out), config))
    if die_after is None:
        train(config, out, callbacks=callbacks, quiet=True)
    else:
        with pytest.raises(RuntimeError, match="killed"):
            train(config, out, callbacks=[*callbacks, DieAfter(die_after)], quiet=True)


class Memory(Tracker):
    """A service that lives in the test: what it was sent, and how its runs ended."""

    name = "memory"
    sent: list[tuple[int, dict[str, float]]]
    ended: list[State]

    def open(self, step: int) -> int:
        known = self.known_id()
        if known is None:
            type(self).sent, type(self).ended = [], []
            self.remember_id("m1")
        return max((step for step, _ in self.sent), default=0)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.sent.append((step, dict(metrics)))

    def close(self, state: State) -> None:
        self.ended.append(state)


def test_each_step_is_sent_once_however_often_the_run_is_killed(small: RunConfig, tmp_path: Path) -> None:
    for step in (2, 5, 7):  # checkpoints are at 3 and 6: 1, 2 and 4, 5 and 7 are done twice
        with pytest.raises(RuntimeError, match="killed"):
            train(small, tmp_path, callbacks=[Memory(RunFolder(tmp_path), small), DieAfter(step)], quiet=True)
    train(small, tmp_path, callbacks=[Memory(RunFolder(tmp_path), small)], quiet=True)
    assert [step for step, _ in Memory.sent] == list(range(1, 9))
    assert Memory.ended == ["failed", "failed", "failed", "finished"]
    timeless = [{key: line[key] for key in line if "second" not in key} for line in lines(tmp_path)]
    assert [{"step": s, **{k: m[k] for k in m if "second" not in k}} for s, m in Memory.sent] == timeless


def test_a_tracker_asked_for_later_gets_what_was_before(small: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        train(small, tmp_path, callbacks=[DieAfter(5)], quiet=True)
    train(small, tmp_path, callbacks=[Memory(RunFolder(tmp_path), small)], quiet=True)
    assert [{"step": step, **metrics} for step, metrics in Memory.sent] == lines(tmp_path)


class Unreachable(Memory):
    """Refuses after `good` calls."""

    good = 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if len(self.sent) >= self.good:
            raise ConnectionError("no route\nto host")
        super().log(step, metrics)


def test_a_service_that_goes_away_never_ends_the_run(
    small: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Unreachable(RunFolder(tmp_path), small)
    tracker.good = 3
    with caplog.at_level(logging.WARNING, logger="dalr.tracking"):
        assert train(small, tmp_path, callbacks=[tracker], quiet=True).finished
    (record,) = caplog.records
    assert "memory: ConnectionError: no route to host; the run goes on" in record.getMessage()
    assert len(tracker.sent) == 3
    again = Unreachable(RunFolder(tmp_path), small)
    again.good = 8
    train(small, tmp_path, callbacks=[again], quiet=True)  # the next attempt sends what is missing
    assert [step for step, _ in Unreachable.sent] == list(range(1, 9))


class Closed(Memory):
    """Lets nobody in."""

    def open(self, step: int) -> int:
        raise PermissionError("who are you?")


def test_a_service_that_refuses_a_new_run_is_bad_input_and_a_resumed_one_goes_on(
    small: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InputError, match=r"report_to memory: cannot open a run there: who are you\?"):
        train(small, tmp_path, callbacks=[Closed(RunFolder(tmp_path), small)], quiet=True)
    assert not lines(tmp_path)
    with pytest.raises(RuntimeError, match="killed"):
        train(small, tmp_path, callbacks=[DieAfter(5)], quiet=True)
    assert train(small, tmp_path, callbacks=[Closed(RunFolder(tmp_path), small)], quiet=True).finished
    assert "who are you?" in caplog.text


def test_a_diverged_run_is_marked_as_failed(small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IndexedRows, "rows", lambda rows, index: np.full((len(index), rows.shape[1]), np.inf))
    with pytest.raises(Diverged):
        train(small, tmp_path / "run", callbacks=[Memory(RunFolder(tmp_path / "run"), small)], quiet=True)
    assert Memory.ended == ["failed"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("tensorbord", "unknown tracker 'tensorbord'; known: tensorboard, wandb, mlflow"),
        ("tensorboard,missing_service", "unknown tracker 'missing_service'"),
    ],
)
def test_an_unknown_tracker_is_one_line(names: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_names(names)
    assert message in str(caught.value)


def test_a_package_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    # A folder that W&B itself leaves in the working directory is not the package.
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(InputError, match=r"report_to wandb: the package is not installed; pip install wandb"):
        parse_names("wandb")


def test_names_are_taken_once_and_none_is_fine() -> None:
    pytest.importorskip("tensorboard")
    assert parse_names("tensorboard, tensorboard,") == ("tensorboard",)
    assert parse_names("") == ()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar of a folder's event files, as TensorBoard would show it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_every_metric_of_every_step_once(small: RunConfig, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train_with(small, tmp_path, "tensorboard", die_after=5)
    train_with(small, tmp_path, "tensorboard")
    shown, expected = scalars(tmp_path / "tensorboard"), lines(tmp_path)
    assert set(shown) == {key for line in expected for key in line} - {"step"}
    assert len(list((tmp_path / "tensorboard").iterdir())) > 1  # one file an attempt
    for name, values in shown.items():
        wanted = [(line["step"], line[name]) for line in expected if name in line]
        assert [step for step, _ in values] == [step for step, _ in wanted], name
        assert [value for _, value in values] == pytest.approx([value for _, value in wanted], rel=1e-6), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of SQLAlchemy
@pytest.mark.parametrize("name", ["a b", "a?b#c", "50%25"])
def test_mlflows_database_lies_in_the_runs_folder_whatever_its_name(
    name: str, small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    train_with(small, tmp_path / name, "mlflow")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "mlflow.db").stat().st_size > 0


def test_mlflow_keeps_every_metric_of_every_step_once(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    train_with(small, tmp_path, "mlflow", die_after=5)
    train_with(small, tmp_path, "mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("dalr").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == tmp_path.name
    assert run.data.params["train.batch_size"] == "8"
    assert run.data.params["teachers.text.0.pooler"] == "avg"
    assert set(run.data.metrics) == {key for line in lines(tmp_path) for key in line} - {"step"}
    for name in run.data.metrics:
        history = sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name))
        wanted = [(line["step"], line[name]) for line in lines(tmp_path) if name in line]
        assert [step for step, _ in history] == [step for step, _ in wanted], name
        if "second" not in name:  # steps that were done twice took another time
            assert history == wanted


def test_wandb_keeps_every_step_once_offline(small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train_with(small, tmp_path, "wandb", die_after=5)
    train_with(small, tmp_path, "wandb")
    identity = json.loads((tmp_path / "tracking.json").read_text())["wandb"]
    files = sorted(tmp_path.glob(f"wandb/offline-run-*-{identity}/run-{identity}.wandb"))
    assert len(files) == 2
    records = [record for file in files for record in wandb_history(file)]
    assert [int(record["_step"]) for record in records] == list(range(1, 9))
    assert [record["loss"] for record in records] == [line["loss"] for line in lines(tmp_path)]


def wandb_history(file: Path) -> list[dict[str, Any]]:
    """The logged lines in a file that W&B wrote offline."""
    lines = [record.history.item for record in wandb_records(file) if record.HasField("history")]
    return [{(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in line} for line in lines]


def wandb_records(file: Path) -> Iterator[Any]:
    """The records in a file that W&B wrote offline: a LevelDB log behind a header of 7 bytes, that is blocks of
    32 KiB of (checksum, length, type, data), type 1 a whole record, 2, 3 and 4 parts of one."""
    from wandb.proto import wandb_internal_pb2

    data, place, parts = file.read_bytes(), 7, b""
    while len(data) - place >= 7:
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        if kind == 0:
            break
        parts = (b"" if kind in (1, 2) else parts) + data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record


def test_parameters_are_flat() -> None:
    values = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": None}], "f": []}
    assert dict(leaves(values)) == {"a.b": 1, "a.c": [1, 2], "d.0.e": None, "f": []}
