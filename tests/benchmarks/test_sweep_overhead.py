"""What a sweep costs beside its training, each measured against its alternative in one run."""

import functools
import json
import time
from pathlib import Path

import numpy as np
import pytest

from dalr.cluster.session import ray_session
from dalr.config.overrides import to_yaml
from dalr.config.schema import RunConfig
from dalr.data.store import Shard, StoredArray
from dalr.sweeps.execution.runner import run_sweep
from dalr.sweeps.execution.trial import Train, train_here, train_nested
from dalr.sweeps.spec.loading import parse_spec
from dalr.training.callbacks import Outcome
from tests.sweeps.make import small_recipe, spec
from tests.sweeps.search import fakes

pytestmark = [pytest.mark.benchmark, pytest.mark.cluster, pytest.mark.timeout(3600)]


def overhead(recipe: Path, out: Path, *, trials: int, train: Train) -> float:
    """(sweep wall − Σ training seconds) / trials, in seconds; training is what metrics.jsonl calls steps."""
    chosen = parse_spec(
        {
            "recipe": str(recipe),
            "space": {"optim.learning_rate": {"log": [1e-5, 1e-3]}},
            "sampler": {"name": "random"},
            "budget": {"trials": trials},
            "resources": {"concurrent": 1},
        }
    )
    began = time.perf_counter()
    outcome = run_sweep(chosen, out, quiet=True, train=train)
    wall = time.perf_counter() - began
    assert outcome.state.counts["complete"] == trials, [trial.reason for trial in outcome.state.trials]
    lines = [json.loads(line) for path in out.glob("runs/*/metrics.jsonl") for line in path.read_text().splitlines()]
    return (wall - sum(line["seconds"] for line in lines)) / trials


def test_overhead_of_a_trial_against_nested_trainers(tmp_path: Path, tiny_bert: Path) -> None:
    """At most a fifth: processes, and with them the imports, serve one trial after the other."""
    recipe = small_recipe(tmp_path, tiny_bert)
    with ray_session(cpus=2, quiet=True):
        reused = overhead(recipe, tmp_path / "reused", trials=10, train=train_here)
        nested = overhead(recipe, tmp_path / "nested", trials=3, train=train_nested)
    print(f"\noverhead of a trial: {reused:.1f} s reused, {nested:.1f} s nested, ratio {reused / nested:.2f}")
    assert reused <= nested / 5


def test_overhead_of_500_trivial_trials(tmp_path: Path) -> None:
    """What Tune, the database and the files cost, with nothing trained."""
    chosen = spec(
        budget={"trials": 500},
        sampler={"name": "tpe"},
        overrides={"train.steps": 2, "train.eval_every": 1},
        resources={"concurrent": 2},
    )
    with ray_session(cpus=2, quiet=True):
        began = time.perf_counter()
        outcome = run_sweep(chosen, tmp_path, quiet=True, train=fakes.train)
        wall = time.perf_counter() - began
    assert outcome.state.counts["complete"] == 500
    print(f"\n500 trivial trials: {wall:.0f} s, {1000 * wall / 500:.0f} ms a trial")
    assert wall / 500 < 2.0


ROWS, WIDTH, TRIALS = 200_000, 768, 4


def hold_features(config: RunConfig, folder: Path, listener: object, task: object, *, shared: bool) -> Outcome:
    """A trial that reads all features, waits until the others have theirs, and notes its memory."""
    place = Path(str(config.data.text)).parent
    before = memory_of_this_process()
    if shared:
        array = StoredArray(place, [Shard(0, "features.npy", ROWS, WIDTH, "")])
        total = sum(float(array.rows(np.arange(i, i + 1000)).sum(dtype=np.float64)) for i in range(0, ROWS, 1000))
    else:
        loaded = np.load(place / "features.npy", allow_pickle=False)
        total = float(loaded.sum(dtype=np.float64))
    folder.mkdir(parents=True, exist_ok=True)
    listener.on_start(0, 1)  # type: ignore[attr-defined]
    (folder / "ready").write_text(str(total))
    while len(list(folder.parent.glob("*/ready"))) < TRIALS:
        time.sleep(0.1)
    (folder / "memory.json").write_text(json.dumps(memory_of_this_process() - before))
    while len(list(folder.parent.glob("*/memory.json"))) < TRIALS:
        time.sleep(0.1)
    (folder / "config.yaml").write_text(to_yaml(config))
    return Outcome(steps=1, best_step=1, best_score=50.0, last_loss=0.0, seconds=0.0, finished=True)


def memory_of_this_process() -> int:
    """Proportional set size in bytes: a page that n processes share counts 1/n in each."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def test_memory_of_concurrent_trials_that_share_features(tmp_path: Path) -> None:
    """Four trials on one node hold one copy of the features, not four."""
    np.save(tmp_path / "features.npy", np.ones((ROWS, WIDTH), dtype=np.float16))
    size = (tmp_path / "features.npy").stat().st_size
    used = {}
    with ray_session(cpus=2, quiet=True):
        for shared in (True, False):
            chosen = spec(
                overrides={"train.steps": 1, "train.eval_every": 1, "data.text": str(tmp_path / "a.txt")},
                budget={"trials": TRIALS},
                resources={"cpus": 0.5, "concurrent": TRIALS},
            )
            out = tmp_path / f"shared-{shared}"
            outcome = run_sweep(chosen, out, quiet=True, train=functools.partial(hold_features, shared=shared))
            assert outcome.state.counts["complete"] == TRIALS, [trial.reason for trial in outcome.state.trials]
            used[shared] = sum(json.loads(path.read_text()) for path in out.glob("runs/*/memory.json"))
    print(f"\n{TRIALS} trials, {size / 1e6:.0f} MB of features: {used[True] / 1e6:.0f} MB shared, "
          f"{used[False] / 1e6:.0f} MB loaded apart")  # fmt: skip
    assert used[True] < 1.5 * size
    assert used[False] > 3.5 * size
