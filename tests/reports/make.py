"""Makes runs and results on disk for the tests of reports."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from dalr.results import STS, TRANSFER, Provenance, Result, TaskScore

HOME = "/home/somebody/data"
"""Where the data of these runs lay; no report may say so."""


def result(
    *,
    model: str = "a-model",
    base: float = 70.0,
    tasks: tuple[str, ...] = STS,
    scores: Mapping[str, float] | None = None,
    protocol: Any = "test",
    pooler: str = "avg",
    **provenance: Any,
) -> Result:
    """A result whose k-th task scores base + k, unless `scores` says otherwise."""
    values = dict(scores) if scores else {task: base + index for index, task in enumerate(tasks)}
    made = {task: _task(task, value) for task, value in values.items()}
    about = Provenance(**{"code_version": "0.1.0+gabc", "data": {"downstream/x": "00"}, **provenance})
    return Result(model=model, pooler=pooler, protocol=protocol, provenance=about, tasks=made).with_averages()


def _task(name: str, value: float) -> TaskScore:
    if name in TRANSFER:
        return TaskScore(score=value, n=1000, acc=value, devacc=value + 0.5)
    return TaskScore(score=value, n=1000, spearman=value / 100, pearson=value / 100)


def config(*, seed: int = 1, **settings: Any) -> dict[str, Any]:
    """A small complete-looking config; `settings` are dotted keys with __ for the dot."""
    values: dict[str, Any] = {
        "model": {"student": "tiny", "layers": 2, "pooler": "avg"},
        "data": {"root": HOME, "captions": f"{HOME}/flickr8k/captions.csv", "pair_every": 1},
        "evaluation": {"data": f"{HOME}/senteval", "tasks": []},
        "objective": {"cross_modal": 0.1, "intra_modal": 0.2, "rank_loss": "listmle"},
        "optim": {"learning_rate": 3e-4},
        "train": {"steps": 100, "batch_size": 32, "seed": seed},
    }
    for key, value in settings.items():
        part, name = key.split("__")
        values[part][name] = value
    return values


def run(
    folder: Path,
    *,
    recipe: str = "dalr",
    seed: int = 1,
    results: Mapping[str, Result] | None = None,
    metrics: list[dict[str, Any]] | None = None,
    notes: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """A run's folder; `results` maps file names to what lies under results/, `notes` goes into its
    provenance."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config(seed=seed, **settings)))
    provenance = {"recipe": recipe, "seed": seed, "code_version": "0.1.0+gabc", "packages": {"torch": "2.13"}}
    (folder / "provenance.json").write_text(
        json.dumps({**provenance, **(notes or {}), "attempts": [{"start_step": 0, "end_step": 100}]})
    )
    lines = metrics if metrics is not None else curve(seed)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, made in (results or {}).items():
        made.write(folder / "results" / name)
    return folder


def curve(seed: int) -> list[dict[str, Any]]:
    """Twenty logged steps and four evaluations."""
    lines: list[dict[str, Any]] = []
    for step in range(5, 101, 5):
        line = {"step": step, "loss": 10 / step + seed, "term/text": 4 / step, "term/rank": 6 / step + seed}
        lines.append({**line, "learning_rate": 3e-4 * (1 - step / 100), "grad_norm": 1.0})
        if step % 25 == 0:
            lines.append({"step": step, "STSBenchmark.dev": 60 + step / 10 + seed})
    return lines


def two_models(root: Path, *, seeds: tuple[int, ...] = (1, 2, 3)) -> Path:
    """Runs of `dalr` and `simcse` over seeds: dalr 2 points ahead, ± 0.1 by seed."""
    for recipe, base in (("dalr", 72.0), ("simcse", 70.0)):
        for seed in seeds:
            made = result(model=f"{recipe}-{seed}/model", base=base + seed / 10, recipe=recipe, seed=seed)
            cross = 0.1 if recipe == "dalr" else 0.0
            folder = root / f"{recipe}-{seed}"
            run(folder, recipe=recipe, seed=seed, results={"sts.json": made}, objective__cross_modal=cross)
    return root


def sweep(folder: Path, *, count: int = 40, recipes: tuple[str, ...] = ("dalr",), seed: int = 0) -> Path:
    """A sweep's folder with `count` trials a recipe, two seeds for the first one; the learning rate
    decides the value, best at 3e-4; the last trial failed, every fifth was pruned."""
    folder.mkdir(parents=True)
    space = {
        "optim.learning_rate": {"log": [1e-5, 1e-2]},
        "objective.intra_modal": {"uniform": [0.05, 1.0]},
        "data.pair_every": {"int": [1, 4]},
        "objective.rank_loss": {"choice": ["listmle", "listnet"]},
    }
    spec = {"recipe": recipes[0] if len(recipes) == 1 else list(recipes), "space": space, "metric": "STSBenchmark.dev"}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**spec, "direction": "maximize", "budget": {"trials": count}}))
    generator = np.random.default_rng(seed)
    rows = []
    for offset, recipe in enumerate(recipes):
        for trial in range(offset * count, (offset + 1) * count):
            rate = float(10 ** generator.uniform(-5, -2))
            value = 75 - 4 * (np.log10(rate) - np.log10(3e-4)) ** 2 + offset + generator.normal(0, 0.3)
            last, pruned = trial == (offset + 1) * count - 1, trial % 5 == 4
            point = {
                "optim.learning_rate": rate,
                "objective.intra_modal": float(generator.uniform(0.05, 1.0)),
                "data.pair_every": int(generator.integers(1, 5)),
                "objective.rank_loss": ["listmle", "listnet"][trial % 2],
            }
            for run_seed in (1, 2) if trial == 0 else (1,):
                about = {
                    "trial": trial,
                    "seed": run_seed,
                    "recipe": recipe,
                    "state": "failed" if last else "pruned" if pruned else "complete",
                    "reason": "NaN loss at step 3" if last else "stopped at rung 50" if pruned else None,
                    "value": None if last else float(value + run_seed / 10),
                    "steps": 3 if last else 50 if pruned else 150,
                    "seconds": (3 if last else 50 if pruned else 150) * 0.5 + 0.01 * (trial % 7),
                    "config_fingerprint": f"{trial:016x}",
                }
                rows.append({**about, **point})
    frame = pl.DataFrame(rows, infer_schema_length=None)
    if len(recipes) == 1:
        frame = frame.drop("recipe")
    frame.write_parquet(folder / "trials.parquet")
    shares = dict(zip(space, ((0.7, 0.55, 0.85), (0.2, 0.1, 0.3), (0.06, 0.0, 0.2), (0.04, 0.0, 0.1)), strict=True))
    rows = [
        {"recipe": recipe, "path": path, "importance": share, "low": low, "high": high, "step": 50}
        for recipe in recipes
        for path, (share, low, high) in shares.items()
    ]
    pl.DataFrame(rows).write_parquet(folder / "importance.parquet")
    return folder


def with_reason(trials: Path, reason: str) -> None:
    """Gives the failed trials of a trials.parquet that reason."""
    failed = pl.when(pl.col("state") == "failed").then(pl.lit(reason)).otherwise(pl.col("reason"))
    pl.read_parquet(trials).with_columns(failed.alias("reason")).write_parquet(trials)


ARM_SETTINGS = {"neither": (0.0, 0.0), "images": (0.1, 0.0), "teacher": (0.0, 0.2), "both": (0.1, 0.2)}
ARM_GAINS = {"neither": 0.0, "images": 2.0, "teacher": 3.0, "both": 3.1}
PLANNED = {
    "images given no teacher": {"images": 1, "neither": -1},
    "images given a teacher": {"both": 1, "teacher": -1},
    "interaction": {"both": 1, "teacher": -1, "images": -1, "neither": 1},
}


def arms_sweep(
    folder: Path,
    *,
    schedules: tuple[int, ...] = (1, 6),
    seeds: int = 4,
    first_seed: int = 1,
    tasks: tuple[str, ...] = STS,
    **spec: Any,
) -> Path:
    """A finished comparison of four arms on two schedules: the runs with their results, sweep.yaml and
    trials.parquet. All arms of a seed share its luck; `spec` are further keys of the specification."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(13)
    space = {"data.pair_every": {"choice": list(schedules)}} if len(schedules) > 1 else {}
    written = {"recipe": "dalr", "arms": {arm: {} for arm in ARM_SETTINGS}, "space": space}
    written |= {"metric": "STSBenchmark.dev", "direction": "maximize", **spec}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    luck = generator.normal(0, 1, seeds)
    rows = []
    for trial, (arm, pairs) in enumerate((arm, pairs) for arm in ARM_SETTINGS for pairs in schedules):
        cross, intra = ARM_SETTINGS[arm]
        for place, seed in enumerate(range(first_seed, first_seed + seeds)):
            base = 60 + ARM_GAINS[arm] / pairs + luck[place] + generator.normal(0, 0.2)
            point = {"objective__cross_modal": cross, "objective__intra_modal": intra, "data__pair_every": pairs}
            results = {"test.json": result(base=base, tasks=tasks, recipe="dalr", seed=seed)}
            run(folder / "runs" / f"trial-{trial:04d}-seed-{seed}", seed=seed, results=results, **point)
            about = {"trial": trial, "seed": seed, "recipe": "dalr", "state": "complete", "reason": None}
            rows.append({**about, "value": base, "steps": 150, "seconds": 60.0, "arm": arm})
            rows[-1] |= {"data.pair_every": pairs} if space else {}
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "trials.parquet")
    return folder
