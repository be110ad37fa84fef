"""Training on real Ray processes: workers equal one process, a lost worker costs nothing, errors arrive."""

import contextlib
import json
import logging
import math
import os
import signal
import threading
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

import dalr
import dalr.cluster.session
import dalr.cluster.train
from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError, NotEnoughResources
from dalr.training.loop import train
from tests.cluster.without_room import work_without_room
from tests.small_run import small_config, write_corpora

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> RunConfig:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpora(folder, np.random.default_rng(0))
    # 10 steps with dropout 0; batch 9 does not divide by 2 and 80 sentences leave a last batch of 8.
    return small_config(folder, tiny_bert, train__steps=10, train__batch_size=9, train__eval_every=5)


def test_a_cluster_of_our_own_is_the_one_that_its_processes_ask(ray_cluster: None) -> None:
    """Beside another cluster on this machine, too."""
    import ray

    @ray.remote
    def told() -> tuple[str | None, ...]:
        return tuple(map(os.environ.get, ("RAY_API_SERVER_ADDRESS", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER")))

    address, watcher = ray.get(told.remote())
    assert watcher == "0"
    with urllib.request.urlopen(f"{address}/api/v0/nodes", timeout=30) as answer:
        (node,) = json.load(answer)["data"]["result"]["result"]
    assert node["node_id"] == ray.get_runtime_context().get_node_id()
    assert not {"RAY_API_SERVER_ADDRESS", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"} & os.environ.keys()


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_workers_train_as_the_plain_loop(ray_cluster: None, small: RunConfig, tmp_path: Path) -> None:
    """That one worker does, to the last bit, is shown where it is killed."""
    from dalr.cluster.train import Workers, train_on_ray

    train(small, tmp_path / "plain", quiet=True)
    outcome = train_on_ray(small, tmp_path / "two", workers=Workers(2), report_to=["tensorboard"], quiet=True)
    assert outcome.finished
    (file,) = (tmp_path / "two" / "tensorboard").iterdir()  # worker 0's; the other reports nothing
    assert file.stat().st_size > 1000
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "plain"), rtol=1e-5)
    assert (tmp_path / "two" / "model" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.ci
def test_a_killed_worker_is_replaced_and_nothing_is_lost(ray_cluster: None, small: RunConfig, tmp_path: Path) -> None:
    from dalr.cluster.train import Workers, train_on_ray

    longer = with_overrides(small, {"train.steps": 60, "train.eval_every": 10, "model.dropout": 0.1})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(longer, whole, quiet=True)
    killer = threading.Thread(target=kill_worker_at, args=(broken, 25), daemon=True)
    killer.start()
    outcome = train_on_ray(longer, broken, workers=Workers(1), quiet=True)
    killer.join(5)
    assert outcome.finished
    attempts = json.loads((broken / "provenance.json").read_text())["attempts"]
    assert len(attempts) == 2, "the worker was not killed in time"
    assert attempts[1]["start_step"] > 0
    assert losses(broken) == losses(whole)
    one, other = (load_file(out / "checkpoints" / "step-000060" / "student.safetensors") for out in (whole, broken))
    assert all((one[name] == other[name]).all() for name in one)


def kill_worker_at(out: Path, step: int) -> None:
    """SIGKILLs the process that writes the run's metrics once they have come to `step`."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        log = out / "metrics.jsonl"
        if log.is_file() and len(log.read_text().splitlines()) >= step:
            for process in Path("/proc").iterdir():
                if process.name.isdigit() and int(process.name) != os.getpid() and has_open(process, log):
                    os.kill(int(process.name), signal.SIGKILL)
            return
        time.sleep(0.002)


def has_open(process: Path, path: Path) -> bool:
    try:
        return any(link.resolve() == path for link in (process / "fd").iterdir())
    except OSError:
        return False  # the process ended, or is another user's


def test_a_tracker_that_is_not_there_is_refused_before_anything_starts(small: RunConfig, tmp_path: Path) -> None:
    from dalr.cluster.commands.train import train as command

    with pytest.raises(InputError, match="report_to: unknown tracker 'tensorbord'"):
        command("quickstart", [f"data.root={tmp_path / 'data'}"], out=tmp_path / "run", report_to="tensorbord")
    assert not any(tmp_path.iterdir())


@pytest.fixture
def broken(small: RunConfig, tmp_path: Path) -> RunConfig:
    """Its captions name pictures that have no features."""
    captions = tmp_path / "captions.csv"
    captions.write_text("image,caption\n" + "".join(f"nowhere-{number}.jpg,a man plays\n" for number in range(9)))
    return with_overrides(small, {"data.captions": str(captions)})


def test_what_a_worker_cannot_train_is_returned_and_not_raised(
    broken: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would try again what is raised. That an answer arrives is shown by a lack of memory, below."""
    import ray.train

    import dalr.cluster.train
    from dalr.cluster.train import _outcome, _work

    alone = SimpleNamespace(get_world_rank=lambda: 0, get_local_rank=lambda: 0)
    monkeypatch.setattr(ray.train, "get_context", lambda: alone)
    monkeypatch.setattr(dalr.cluster.train, "given_up", lambda note: None)
    monkeypatch.setattr(logging.getLogger(), "setLevel", lambda level: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # which it sets
    task = {"config": broken.dump(), "out": str(tmp_path / "run"), "note": "", "gpus": 0.0, "recipe": None}
    answer = _work({**task, "extend": False, "imports": [], "report_to": [], "labels": None, "environment": {}})
    with pytest.raises(InputError, match=r"nowhere-\d\.jpg"):
        _outcome(answer)


@pytest.mark.slow  # the test before it, and the one after it
def test_bad_input_met_by_a_worker_arrives_as_one_line(ray_cluster: None, broken: RunConfig, tmp_path: Path) -> None:
    from dalr.cluster.train import Workers, train_on_ray

    with pytest.raises(InputError, match=r"nowhere-\d\.jpg") as caught:
        train_on_ray(broken, tmp_path / "run", workers=Workers(1), quiet=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.slow
@pytest.mark.ci
def test_a_lack_of_memory_is_not_tried_again(
    ray_cluster: None, small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second start of the workers reads why the first one ended."""
    import dalr.cluster.train
    from dalr.cluster.train import Workers, train_on_ray
    from dalr.errors import Failed

    (tmp_path / "started").mkdir()
    monkeypatch.setattr(dalr.cluster.train, "_work", work_without_room)
    with pytest.raises(Failed, match=r"^out of memory: worker 1 on .*: no room; raise train\.accumulate"):
        train_on_ray(small, tmp_path / "run", workers=Workers(2), quiet=True)
    assert len(list((tmp_path / "started").iterdir())) == 2, "each worker came to train once"


@pytest.mark.slow
def test_workers_extend_a_run_and_start_from_another(ray_cluster: None, small: RunConfig, tmp_path: Path) -> None:
    """One worker, stopped in the middle of the extension by the death of its process, equals one process."""
    from dalr.cluster.train import Workers, train_on_ray

    train(small, tmp_path / "start", quiet=True)
    warm = with_overrides(small, {"model.init": str(tmp_path / "start"), "model.dropout": 0.1})
    longer = with_overrides(warm, {"train.steps": 60, "train.eval_every": 10})
    shorter = with_overrides(longer, {"train.steps": 20})
    plain, on_ray = tmp_path / "plain", tmp_path / "ray"
    train(shorter, plain, quiet=True)
    train(longer, plain, quiet=True, extend=True)
    train_on_ray(shorter, on_ray, workers=Workers(1), quiet=True)
    killer = threading.Thread(target=kill_worker_at, args=(on_ray, 35), daemon=True)
    killer.start()
    assert train_on_ray(longer, on_ray, workers=Workers(1), extend=True, quiet=True).finished
    killer.join(5)
    assert losses(on_ray) == losses(plain)
    notes = [json.loads((out / "provenance.json").read_text()) for out in (plain, on_ray)]
    assert notes[0]["config_fingerprint"] == notes[1]["config_fingerprint"]
    assert [len(note["extensions"]) for note in notes] == [1, 1]
    assert len(notes[1]["attempts"]) == 3, "the worker was not killed in time"


def test_a_run_may_begin_with_fewer_workers_than_asked_for(
    ray_cluster: None, small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of three, of two CPUs each, where there are two: threads sum in another order."""
    import dalr.cluster.train
    from dalr.cluster.train import Workers, train_on_ray

    made: list[Any] = []
    make = dalr.cluster.train._trainer

    def trainer(*words: Any, **options: Any) -> Any:
        made.append(make(*words, **options))
        return made[-1]

    monkeypatch.setattr(dalr.cluster.train, "_trainer", trainer)
    train(small, tmp_path / "plain", quiet=True)
    outcome = train_on_ray(small, tmp_path / "fewer", workers=Workers(3, cpus=2, least=1), quiet=True)
    assert outcome.finished
    assert made[0].scaling_config.num_workers == (1, 3)
    assert made[0].scaling_config.elastic_resize_monitor_interval_s == math.inf
    np.testing.assert_allclose(losses(tmp_path / "fewer"), losses(tmp_path / "plain"), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"min_workers": 1}, {"min_workers": 1, "preflight": False}])
def test_several_workers_never_get_a_part_of_a_gpu_each(
    options: dict[str, Any], small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dalr.cluster.session, "ray_session", lambda *words, **named: contextlib.nullcontext())
    monkeypatch.setattr(dalr.cluster.train, "train_on_ray", lambda *words, **named: pytest.fail("it started"))
    with pytest.raises(NotEnoughResources, match=r"^2 workers of 0\.5 GPU: two of them would lie on one GPU"):
        dalr.train(small, tmp_path / "run", workers=2, gpus=0.5, **options)


@pytest.mark.parametrize("least", [0, 3])
def test_no_fewer_than_one_and_no_more_than_all(least: int, small: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^min_workers: {least} is not from 1 to the 2 workers asked for$"):
        dalr.train(small, tmp_path / "run", workers=2, min_workers=least)
    assert not (tmp_path / "run").exists()
