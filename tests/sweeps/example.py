"""The sweep in docs/example-report as its kept files tell it; the database is not kept there."""

import json
from pathlib import Path

import polars as pl

from dalr.sweeps.search.finals import BASE, FinalRecord, final_name
from dalr.sweeps.search.records import RunRecord, TrialRecord
from dalr.sweeps.search.snapshot import SweepState
from dalr.sweeps.search.spec_file import saved_spec
from tests import ROOT

EXAMPLE = ROOT / "docs" / "example-report" / "runs" / "sweep"


def example_state(out: Path = EXAMPLE) -> SweepState:
    """Its trials with their scores by step, and its final runs, which lie in `out`."""
    spec = saved_spec(EXAMPLE)
    metric = spec.metric[0]
    trials = []
    for row in pl.read_parquet(EXAMPLE / "trials.parquet").sort("trial").to_dicts():
        number, seed, state = row["trial"], row["seed"], row["state"]
        metrics = EXAMPLE / "runs" / f"trial-{number:04d}-seed-{seed}" / "metrics.jsonl"
        lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        scores = {line["step"]: line[metric] for line in lines if metric in line}
        values = (row["value"],) if state == "complete" else ()
        run = RunRecord(seed, row["config_fingerprint"], state, None, row["value"], values, row["steps"])
        point = {path: row[path] for path in spec.space}
        trials.append(TrialRecord(number, row["recipe"], point, str(number), state, (run,), scores=scores))
    finals = []
    for number, row in enumerate(pl.read_parquet(EXAMPLE / "finals.parquet").to_dicts()):
        candidate = BASE if row["candidate"] is None else row["candidate"]
        value, seconds = row[metric], row["seconds"]
        run = RunRecord(
            row["seed"], row["config_fingerprint"], row["state"], row["reason"], value, (value,), seconds=seconds
        )
        finals.append(FinalRecord(number, row["recipe"], candidate, {}, run, final_name(row["recipe"], candidate)))
    return SweepState(out, spec, tuple(trials), tuple(finals), 1.0, 0.0)
