"""Evaluation over Ray: the result of one process, the order of the steps, resuming, errors in one line."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dalr.__main__ import main
from dalr.cluster.evaluate import Evaluation, WorkItem, WorkQueue, evaluate_on_ray, needs_of, score
from dalr.cluster.train import Workers
from dalr.errors import InputError
from dalr.evaluation.custom import read_tasks
from dalr.evaluation.readers import DataFolder
from dalr.evaluation.run import plan, shares
from dalr.results import details_file, read_details
from tests.cluster.test_pool import FakeProcesses
from tests.dalr.evaluation.test_custom import write_own_tasks

TASKS = "sts,CR,TREC"
NAMES = ["STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICKRelatedness", "CR", "TREC"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dalr.datasets.embedded import make_embedded_data

    return make_embedded_data(tmp_path_factory.mktemp("data")) / "senteval"


def dalr(*words: object) -> int:
    """Runs the command line in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["dalr", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def evaluate(model: Path, data: Path, out: Path, *more: object) -> int:
    words = ["--data", data, "--tasks", TASKS, "--protocol", "fast", "--pooler", "avg", "--out", out, *more]
    return dalr("evaluate", model, *words, "--quiet")


def without_time(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text())
    del result["seconds"], result["provenance"]["created"]
    for task in result["tasks"].values():
        del task["seconds"]
    return result


def test_the_agenda_finishes_tasks_early_and_encodes_no_share_twice() -> None:
    agenda = WorkQueue()
    agenda.add(0, {2: [0, 2], 1: [0, 1], 3: []})
    agenda.add(1, {0: [0]})
    taken = [agenda.next(), agenda.next(), agenda.next()]
    assert taken == [WorkItem("score", 0, 3), WorkItem("encode", 0, 0), WorkItem("encode", 0, 2)]
    agenda.encoded(WorkItem("encode", 0, 2))
    assert agenda.next() == WorkItem("encode", 0, 1)
    agenda.encoded(WorkItem("encode", 0, 0))
    rest = [agenda.next(), agenda.next(), agenda.next()]
    assert rest == [WorkItem("score", 0, 2), WorkItem("encode", 1, 0), None]


def test_a_task_needs_the_shares_that_hold_its_sentences(data: Path) -> None:
    folder, tasks = DataFolder.open(data), plan(TASKS, "fast")
    parts, needs = needs_of(tasks, tasks[2:], folder, "fast")
    assert sorted(needs) == list(range(2, len(tasks)))
    sizes = []
    for number, needed in needs.items():
        (own,) = shares([tasks[number]], folder, "fast")
        assert set(own) <= {sentence for share in needed for sentence in parts[share]}
        assert all(set(own) & set(parts[share]) for share in needed)
        sizes.append(len(own))
    assert sizes == sorted(sizes, reverse=True)


def test_options_of_ray_need_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tmp_path, tmp_path, tmp_path / "r.json", "--workers", 2) == 2
    assert "add --ray" in capsys.readouterr().err


@pytest.fixture(scope="module")
def alone(tiny_bert: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of one process."""
    out = tmp_path_factory.mktemp("alone") / "r.json"
    assert evaluate(tiny_bert, data, out) == 0
    return out


def prepared(model: Path, data: Path, out: Path) -> Evaluation:
    return Evaluation.prepare(str(model), data, TASKS, "fast", out=out, pooler="avg")


def assert_same_details(one_result: Path, other_result: Path) -> None:
    for name in NAMES:
        one, other = read_details(one_result, name), read_details(other_result, name)
        assert one is not None
        assert other is not None
        for part in ("similarities", "gold", "correct"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def test_steps_in_any_order_and_repeated_ones_give_the_result_of_one_process(
    alone: Path, tiny_bert: Path, data: Path, tmp_path: Path
) -> None:
    processes = FakeProcesses(lost=2)
    asked = prepared(tiny_bert, data, tmp_path / "r.json")
    evaluate_on_ray([asked], workers=Workers(3), processes=processes)
    assert without_time(tmp_path / "r.json") == without_time(alone)
    assert_same_details(tmp_path / "r.json", alone)
    steps = [call.name for call in processes.calls]
    assert len(steps) == len(set(steps)) + 2  # the lost ones
    done = len(steps)
    evaluate_on_ray([asked], workers=Workers(3), processes=processes)
    assert len(processes.calls) == done


def test_own_tasks_need_no_data_of_the_benchmark(tiny_bert: Path, tmp_path: Path) -> None:
    own = read_tasks(write_own_tasks(tmp_path))
    out, alone = tmp_path / "r.json", tmp_path / "alone.json"
    asked = Evaluation.prepare(str(tiny_bert), None, [], "fast", out=out, pooler="avg", custom=own)
    (result,) = evaluate_on_ray([asked], workers=Workers(2), processes=FakeProcesses())
    assert list(result.tasks) == ["Reviews", "Pairs", "Labels"]
    words = ["--custom", tmp_path / "tasks.yaml", "--protocol", "fast", "--pooler", "avg", "--out", alone, "--quiet"]
    assert dalr("evaluate", tiny_bert, *words) == 0
    assert without_time(out) == without_time(alone)


def test_an_interruption_loses_the_tasks_in_hand(alone: Path, tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    class Interrupted(FakeProcesses):
        def result(self, handle: int) -> object:
            if sum(call.function is score for call in self.calls[:handle]) == 4:
                raise KeyboardInterrupt
            return super().result(handle)

    asked = prepared(tiny_bert, data, tmp_path / "r.json")
    with pytest.raises(KeyboardInterrupt):
        evaluate_on_ray([asked], workers=Workers(1), processes=Interrupted())
    assert sum(details_file(asked.out, name).is_file() for name in NAMES) == 4
    assert not asked.out.exists()
    processes = FakeProcesses()
    evaluate_on_ray([asked], workers=Workers(1), processes=processes)
    assert sum(call.function is score for call in processes.calls) == len(NAMES) - 4
    assert without_time(asked.out) == without_time(alone)


def test_several_models_share_the_workers(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    poolers = ("cls_before_pooler", "avg")
    asked = [
        Evaluation.prepare(str(tiny_bert), data, ["STS13"], "test", out=tmp_path / f"{pooler}.json", pooler=pooler)
        for pooler in poolers
    ]
    processes = FakeProcesses()
    results = evaluate_on_ray(asked, workers=Workers(2), processes=processes)
    assert [result.pooler for result in results] == list(poolers)
    assert results[0].tasks["STS13"].score != results[1].tasks["STS13"].score
    assert all((tmp_path / f"{pooler}.json").is_file() for pooler in poolers)
    assert processes.most_at_once == 2


def test_errors_of_a_worker_arrive_as_one_line(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    """On Ray: `tests/cluster/test_features.py`, through the same pool."""
    copy = tmp_path / "model"
    shutil.copytree(tiny_bert, copy)
    asked = Evaluation.prepare(str(copy), data, ["CR"], "fast", out=tmp_path / "r.json")
    shutil.rmtree(copy)
    with pytest.raises(InputError, match="no such folder") as caught:
        evaluate_on_ray([asked], workers=Workers(1), processes=FakeProcesses())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "r.json").exists()


def test_another_model_under_the_same_name_is_refused(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    from tests.tiny import write_tiny_bert

    copy = tmp_path / "model"
    shutil.copytree(tiny_bert, copy)
    asked = Evaluation.prepare(str(copy), data, ["CR"], "fast", out=tmp_path / "r.json")
    write_tiny_bert(copy, seed=1)
    with pytest.raises(InputError, match="finds another model under this name"):
        evaluate_on_ray([asked], workers=Workers(1), processes=FakeProcesses())


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_the_result_is_that_of_one_process_and_what_is_stored_is_not_done_again(
    ray_cluster: None, alone: Path, tiny_bert: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.json"
    kept = {}
    for name in NAMES[:4]:
        file = details_file(out, name)
        file.parent.mkdir(exist_ok=True)
        shutil.copy(details_file(alone, name), file)
        kept[file] = file.stat().st_mtime_ns
    assert evaluate(tiny_bert, data, out, "--ray", "--workers", 2) == 0
    assert without_time(out) == without_time(alone)
    assert_same_details(out, alone)
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())
